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
                drawn = valid(panel_chart.draw_retention(pooled, panel, "ci"))
                assert len(next(iter(drawn["datasets"].values()))) == len(panel.ps) * len(panel.learning_rates)
            elif panel.quantity == "start_overlap":
                drawn = valid(panel_chart.draw_start_overlap(pooled, panel, "se"))
                assert len(next(iter(drawn["datasets"].values()))) == len(panel.sparsities) * len(panel.starts)


def test_a_panels_numbers_are_the_means_that_it_draws(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for figure in FIGURES.values():
        for original in figure.panels:
            panel = scaled(original, "small")
            if panel.quantity == "ancestor_overlap":
                continue
            rows = panel_chart.rows_of(frames[0] if panel.quantity == "accuracy" else frames[1], panel)
            found = panel_chart.numbers(rows, panel, "se")
            assert set(found["n"]) == {3}
            assert set(found["low_to_high"]) == {"standard error"}
            if panel.quantity == "accuracy":
                own = len(panel.starts) * len(panel.pruners) * len(panel.sparsities)
                assert len(found[found["start"] != "dense"]) == own
                dense = rows[rows["start"] == "dense"].groupby("learning_rate")["test_accuracy"].mean()
                drawn = found[found["start"] == "dense"].set_index("learning_rate")["mean"]
                assert drawn.to_dict() == pytest.approx(dense.to_dict())
            elif panel.quantity == "retention":
                assert len(found) == len(panel.ps) * len(panel.learning_rates)
                assert (found["chance"] == found["p"]).all()
            else:
                assert len(found) == len(panel.sparsities) * len(panel.starts)


def test_the_legend_of_bars_shows_bars_and_their_mark_of_chance() -> None:
    for figure in ("fig2", "fig4"):
        *bars, chance = panel_chart.looks(FIGURES[figure].panels[0])
        assert {look.shape for look in bars} == {"bar"}
        # The mark is a solid tick, no dashed line.
        assert chance.dash == ()
