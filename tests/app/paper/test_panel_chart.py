import pandas as pd
import pytest

from app.paper import panel_chart
from app.state.queries import accuracy, pooled_overlaps
from data.database.database import Database
from engine.paper import figures, studies
from engine.paper.figures import FIGURES
from engine.paper.studies import scaled
from tests.app.charts.test_accuracy import valid
from tests.app.made_study import record

STUDY = "made-study-0001"


@pytest.fixture
def frames(database: Database) -> tuple[pd.DataFrame, pd.DataFrame]:
    record(database, studies.study("all", "small"))
    return accuracy(STUDY), pooled_overlaps(STUDY)


def test_every_panel_is_a_valid_chart_with_all_its_series(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for figure in FIGURES.values():
        for original in figure.panels:
            panel = scaled(original, "small")
            rows = panel_chart.rows_of(frames[0], panel)
            pooled = panel_chart.rows_of(frames[1], panel)
            if panel.quantity == "accuracy":
                pruned = rows[rows["start"] != "dense"]
                assert set(pruned["start"]) == set(panel.starts)
                assert set(pruned["pruner"]) == set(panel.pruners)
                assert len(pruned) == len(panel.starts) * len(panel.pruners) * len(panel.sparsities) * 3
                y = panel_chart.domain([rows], "sd")
                assert y[0] < rows["test_accuracy"].min()
                valid(panel_chart.draw_accuracy(rows, panel, "sd", y, figures.reported(figure)))
            elif panel.quantity == "retention":
                chart = valid(panel_chart.draw_retention(pooled, panel, "ci"))
                assert len(next(iter(chart["datasets"].values()))) == len(panel.ps) * len(panel.learning_rates)
            elif panel.quantity == "start_overlap":
                chart = valid(panel_chart.draw_start_overlap(pooled, panel, "se"))
                assert len(next(iter(chart["datasets"].values()))) == len(panel.sparsities) * len(panel.starts)


def test_a_panels_numbers_are_the_means_that_it_draws(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for figure in FIGURES.values():
        for original in figure.panels:
            panel = scaled(original, "small")
            if panel.quantity == "ancestor_overlap":
                continue
            rows = panel_chart.rows_of(frames[0] if panel.quantity == "accuracy" else frames[1], panel)
            means = panel_chart.numbers(rows, panel, "se")
            assert set(means["n"]) == {3}
            assert set(means["low_to_high"]) == {"standard error"}
            if panel.quantity == "accuracy":
                pruned = len(panel.starts) * len(panel.pruners) * len(panel.sparsities)
                assert len(means[means["start"] != "dense"]) == pruned
                dense = rows[rows["start"] == "dense"].groupby("learning_rate")["test_accuracy"].mean()
                baselines = means[means["start"] == "dense"].set_index("learning_rate")["mean"]
                assert baselines.to_dict() == pytest.approx(dense.to_dict())
            elif panel.quantity == "retention":
                assert len(means) == len(panel.ps) * len(panel.learning_rates)
                assert (means["chance"] == means["p"]).all()
            else:
                assert len(means) == len(panel.sparsities) * len(panel.starts)


def test_the_legend_of_bars_shows_bars_and_their_mark_of_chance() -> None:
    for figure in ("fig2", "fig4"):
        *bars, chance = panel_chart.looks(FIGURES[figure].panels[0])
        assert {look.shape for look in bars} == {"bar"}
        # The mark of chance is a solid tick, not a dashed line.
        assert chance.dash == ()
