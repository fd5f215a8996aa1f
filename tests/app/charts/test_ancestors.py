"""Overlap with the dense networks beside what the mask alone gives: chart, table, and every page that shows them."""

import time
import zipfile
from io import BytesIO

import pandas as pd
import pytest

from app.charts import ancestors as charts
from app.charts.marks import CHANCE
from app.charts.points import head
from app.export.report import report
from app.export.zip import everything
from app.paper import numbers, runs
from data.database.database import Database
from data.queries import points
from data.queries.selection import OneStudy
from engine.paper import figures, studies
from engine.paper.figures import FIGURES
from engine.study.results import AGAINST_DENSE
from tests.app.charts.test_accuracy import data, layers
from tests.app.dashboard import open_page, rerun, tables, texts
from tests.app.made_study import record

ID = "made-study-0001"
# The column with the level of the mask alone of the overlap with the trained dense weights.
TRAINED = "mask alone, trained dense weights"


@pytest.fixture
def older(recorded: Database) -> Database:
    """A database of the same results as an older version recorded them."""
    with recorded.writing() as connection:
        connection.execute("UPDATE overlap_counts SET expected = NULL")
        connection.execute("UPDATE results SET mask = NULL")
    return recorded


@pytest.fixture
def identities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give datasets the identities that made-up studies have."""
    monkeypatch.setattr(runs, "identity", lambda name, home: f"identity of {name}")


def one_panel(database: Database) -> pd.DataFrame:
    pooled = points.pooled_overlaps(database, OneStudy(ID))
    return pooled[(pooled["pruner"] == "oneshot") & (pooled["learning_rate"] == 0.01)]


def test_a_panel_has_a_line_and_a_level_for_each_dense_network_and_chance(recorded: Database) -> None:
    rows = one_panel(recorded)
    chart = charts.draw(rows, 0.1, "sd")
    strokes, points = layers(chart, "point")
    overlaps, levels = data(chart, points), data(chart, strokes)
    assert sorted(overlaps["name"].unique()) == sorted(look.name for look in charts.pair_looks().values())
    assert sorted(levels["name"].unique()) == sorted(look.name for look in charts.level_looks().values())
    assert set(overlaps["removed"]) == set(levels["removed"]) == {50, 90}
    assert (overlaps["n"] == 3).all()
    assert (levels["n"] == 3).all()
    chance = data(chart, layers(chart, "line")[0])
    assert (chance["y"] == 0.1).all()
    level = levels[(levels["name"] == "level of the mask alone, θ_T") & (levels["removed"] == 50)]
    assert level["mean"].iloc[0] == pytest.approx(0.2)
    # The tooltip of a point names the level that the point compares with.
    point = overlaps[(overlaps["name"] == "with trained dense weights θ_T") & (overlaps["removed"] == 50)].iloc[0]
    assert point["level"] == level["described"].iloc[0] == "0.20 ± 0.00 (n = 3)"
    assert [item["title"] for item in points["encoding"]["tooltip"]] == [
        "fine-tuned network",
        "sparsity (%)",
        "overlap ratio, ± standard deviation",
        "level of the mask alone",
        "seeds (n)",
    ]


def test_a_level_has_the_colour_of_its_network_and_the_legend_names_all(recorded: Database) -> None:
    for pair in AGAINST_DENSE:
        assert charts.level_looks()[pair].colour == charts.pair_looks()[pair].colour
    chart = charts.draw(one_panel(recorded), 0.1, "ci")
    _, points = layers(chart, "point")
    scale = points["encoding"]["color"]["scale"]
    legend = {look.name: look.colour for look in charts.legend("ci").looks}
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == {
        name: colour for name, colour in legend.items() if name != CHANCE.name
    }
    assert CHANCE in charts.legend("ci").looks


def test_the_table_ends_where_fewer_weights_than_p_remain_and_names_both_levels(recorded: Database) -> None:
    pooled = points.pooled_overlaps(recorded, OneStudy(ID))
    assert set(charts.table(pooled, 0.1)["sparsity (%)"]) == {50, 90}
    table = charts.table(pooled, 0.2)
    assert set(table["sparsity (%)"]) == {50}
    assert [head(name) for name in table.columns[3:]] == [
        "with initial weights",
        "±",
        "mask alone, initial weights",
        "with trained dense weights",
        "±",
        TRAINED,
        "chance",
        "n",
    ]
    assert set(table[TRAINED]) == {0.4}
    assert set(table["chance"]) == {0.2}
    assert set(table["n"]) == {3}


def test_older_results_say_that_their_level_is_not_recorded(older: Database) -> None:
    rows = one_panel(older)
    chart = charts.draw(rows, 0.1, "sd")
    strokes, dots = layers(chart, "point")
    assert set(data(chart, dots)["level"]) == {"not recorded"}
    assert data(chart, strokes).empty
    table = charts.table(points.pooled_overlaps(older, OneStudy(ID)), 0.1)
    assert table["mask alone, initial weights"].isna().all()
    assert table[TRAINED].isna().all()
    assert "not recorded for 6 of 6 fine-tuned networks" in charts.missing(rows)


def test_the_level_counts_only_the_seeds_that_recorded_it(recorded: Database) -> None:
    seeds = "SELECT fingerprint FROM stages WHERE seed = 0"
    with recorded.writing() as connection:
        connection.execute(f"UPDATE overlap_counts SET expected = NULL WHERE fingerprint IN ({seeds})")
    rows = one_panel(recorded)
    table = charts.table(rows, 0.2)
    assert set(table[TRAINED]) == {0.4}
    assert set(table["n"]) == {3}
    assert "not recorded for 2 of 6 fine-tuned networks" in charts.missing(rows)
    keys = ["pair", "sparsity"]
    at = charts.at(rows, 0.2)
    levels = charts.with_levels(at[keys].drop_duplicates(), at, keys)
    assert list(levels["level_n"]) == [2, 2]
    assert sorted(levels["level_mean"].round(2))[1] == 0.4


@pytest.mark.parametrize("old", [False, True])
def test_the_overlap_tab_draws_both_levels_or_says_what_is_missing(
    recorded: Database, old: bool, request: pytest.FixtureRequest
) -> None:
    if old:
        request.getfixturevalue("older")
    app = open_page("views/study.py", study=ID)
    app.session_state["tab"] = "Overlap"
    app = rerun(app)
    text = texts(app)
    assert charts.EXPLAINED in text
    [table] = [table for table in tables(app) if TRAINED in table]
    assert (table[TRAINED] == "").all() == old
    assert ("The level of the mask alone is not recorded for" in text) == old


def test_compare_draws_both_levels(recorded: Database) -> None:
    app = open_page("views/compare.py", s=ID, m="overlap")
    text = texts(app)
    if "Starts against the fine-tuned network" not in text:
        app.segmented_control[0].set_value("overlap")
        text = texts(rerun(app))
    assert "The fine-tuned network against its dense ancestors" in text
    assert charts.EXPLAINED in text
    assert "not recorded" not in text


@pytest.mark.usefixtures("identities")
def test_the_papers_table_has_the_level_of_the_mask_beside_each_overlap(database: Database) -> None:
    record(database, studies.study("table1", "small"))
    stated = figures.reported(FIGURES["table1"])
    frames = points.accuracy(database, OneStudy(ID)), points.pooled_overlaps(database, OneStudy(ID))
    table = numbers.as_in_paper(stated, *frames, "small", None)
    assert table[numbers.LEVELS["finetuned_pretrained"]].str.startswith("40.0").all()
    assert table[numbers.LEVELS["finetuned_initial"]].str.contains(r"\(n = \d\)").all()
    ours = numbers.table(stated, *frames, "small", None, comparable=False)["level of the mask alone, ours (%)"]
    assert (ours != "").all()
    app = open_page("views/figure.py", figure="table1", scale="small")
    text = texts(app)
    assert "48 to 65 % are to be compared with 40 %, not 20 %" in text
    [on_page] = [table for table in tables(app) if numbers.LEVELS["finetuned_initial"] in table]
    assert on_page[numbers.LEVELS["finetuned_pretrained"]].str.startswith("40.0").all()
    with database.writing() as connection:
        connection.execute("UPDATE overlap_counts SET expected = NULL")
    older = numbers.as_in_paper(stated, frames[0], points.pooled_overlaps(database, OneStudy(ID)), "small", None)
    assert set(older[numbers.LEVELS["finetuned_initial"]]) == {"not recorded"}


@pytest.mark.usefixtures("identities")
def test_a_figure_is_redrawn_once_older_results_are_completed(database: Database) -> None:
    record(database, studies.study("table1", "small"))
    level = numbers.LEVELS["finetuned_initial"]
    with database.writing() as connection:
        connection.execute("CREATE TABLE counts AS SELECT * FROM overlap_counts")
        connection.execute("CREATE TABLE masks AS SELECT * FROM results")
        connection.execute("UPDATE overlap_counts SET expected = NULL")
        connection.execute("UPDATE results SET mask = NULL")

    def levels() -> set[str]:
        app = open_page("views/figure.py", figure="table1", scale="small")
        [table] = [table for table in tables(app) if level in table]
        return set(table[level])

    assert levels() == {"not recorded"}
    with database.writing() as connection:
        connection.execute("DELETE FROM overlap_counts")
        connection.execute("INSERT INTO overlap_counts SELECT * FROM counts")
        connection.execute(
            "UPDATE results SET mask = masks.mask FROM masks WHERE results.fingerprint = masks.fingerprint"
        )
    # The dashboard looks at the file again only after a second.
    time.sleep(1.1)
    assert "not recorded" not in levels()


def test_report_and_zip_contain_both_levels(recorded: Database) -> None:
    html = report(recorded, ID)
    assert TRAINED in html
    assert charts.EXPLAINED in html
    assert "Iterative and one-shot have the same mask at 50 %" in html
    with zipfile.ZipFile(BytesIO(everything(recorded, ID))) as archive:
        names = archive.namelist()
        [name, *_] = [name for name in names if "-ancestors-" in name and name.endswith(".csv")]
        rows = pd.read_csv(archive.open(name))
        assert {"level_mean", "level_n", "chance"} <= set(rows.columns)
        assert (rows["level_n"] == 3).all()
        assert name.replace(".csv", ".png") in names
        overlap = pd.read_csv(archive.open(f"{ID}/tables/overlap.csv"))
        assert (overlap["expected"].notna() == overlap["pair"].isin(AGAINST_DENSE)).all()
        accuracy = pd.read_csv(archive.open(f"{ID}/tables/accuracy.csv"))
        assert (accuracy["mask"].notna() == accuracy["pruner"].notna()).all()
