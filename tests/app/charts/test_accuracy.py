import altair as alt
import pandas as pd
import pytest

from app.charts import accuracy as charts
from app.charts import marks
from app.charts.palette import STARTS
from app.charts.points import LABEL
from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import OneStudy
from engine.study.spec import Study
from tests.app.made_study import record


@pytest.fixture
def accuracy(database: Database, study: Study) -> pd.DataFrame:
    record(database, study)
    return queries.accuracy(database, OneStudy("made-study-0001"))


Specification = dict | alt.LayerChart


def valid(chart: Specification) -> dict:
    """Return a chart as Vega-Lite; an invalid one raises."""
    return (alt.LayerChart.from_dict(chart) if isinstance(chart, dict) else chart).to_dict()


def layers(chart: Specification, mark: str) -> list[dict]:
    return [layer for layer in valid(chart)["layer"] if layer["mark"]["type"] == mark]


def data(chart: Specification, layer: dict) -> pd.DataFrame:
    spec = valid(chart)
    name = layer.get("data", spec.get("data", {})).get("name")
    return pd.DataFrame(spec["datasets"][name])


def test_each_pruner_and_learning_rate_has_a_panel_ordered_by_pruner(accuracy: pd.DataFrame) -> None:
    panels = charts.panels(accuracy, "test_accuracy", "sd")
    assert [(panel.pruner, panel.learning_rate) for panel in panels] == [
        ("iterative", 0.01),
        ("iterative", 0.1),
        ("oneshot", 0.01),
        ("oneshot", 0.1),
    ]


@pytest.mark.parametrize("measure", charts.MEASURES)
def test_points_are_means_over_seeds_with_n(accuracy: pd.DataFrame, measure: charts.Measure) -> None:
    panel = charts.panels(accuracy, measure, "sd")[1]
    chart = charts.draw(panel, charts.View((0, 100), measure))
    (points,) = layers(chart, "point")
    means = data(chart, points).set_index(["name", "removed"])
    for (start, sparsity), rows in accuracy[
        (accuracy["pruner"] == "iterative") & (accuracy["learning_rate"] == 0.1)
    ].groupby(["start", "sparsity"]):
        row = means.loc[(STARTS[start].name, round(100 * sparsity, 4))]
        assert row["mean"] == pytest.approx(rows[measure].mean())
        assert row["high"] - row["low"] == pytest.approx(2 * rows[measure].std())
        assert row["n"] == 3
    assert {"start", "symbol", "seeds (n)"} < {tooltip["title"] for tooltip in points["encoding"]["tooltip"]}


def test_the_dense_baseline_is_a_rule_with_a_band(accuracy: pd.DataFrame) -> None:
    panel = charts.panels(accuracy, "test_accuracy", "sd")[0]
    chart = charts.draw(panel, charts.View((0, 100)))
    (rule,) = layers(chart, "rule")
    (band,) = layers(chart, "rect")
    dense = accuracy[(accuracy["start"] == "dense") & (accuracy["learning_rate"] == 0.01)]["test_accuracy"]
    row = data(chart, rule).iloc[0]
    assert row["mean"] == pytest.approx(dense.mean())
    assert band["encoding"]["y"]["field"] == "low"
    assert charts.dense_words(panel, "sd") == f"dense baseline {dense.mean():.2f} ± {dense.std():.2f} % (n = 3)"


def test_starts_have_the_colours_and_shapes_of_the_palette(accuracy: pd.DataFrame) -> None:
    chart = charts.draw(charts.panels(accuracy, "test_accuracy", "sd")[0], charts.View((0, 100)))
    (points,) = layers(chart, "point")
    for channel, attribute in (("color", "colour"), ("shape", "shape")):
        scale = points["encoding"][channel]["scale"]
        assert dict(zip(scale["domain"], scale["range"], strict=True)) == {
            look.name: getattr(look, attribute) for look in STARTS.values()
        }


def test_axes_name_their_units(accuracy: pd.DataFrame) -> None:
    chart = charts.draw(charts.panels(accuracy, "test_accuracy", "sd")[0], charts.View((0, 100)))
    (points,) = layers(chart, "point")
    assert points["encoding"]["x"]["title"] == "sparsity (% of prunable weights removed)"
    assert points["encoding"]["y"]["title"] == "test accuracy, last epoch (%)"


def test_all_panels_share_an_axis_that_holds_every_band(accuracy: pd.DataFrame) -> None:
    panels = charts.panels(accuracy, "test_accuracy", "range")
    low, high = charts.domain(panels)
    assert low <= accuracy["test_accuracy"].min()
    assert accuracy["test_accuracy"].max() <= high <= 100


def test_one_seed_is_drawn_without_a_band(accuracy: pd.DataFrame) -> None:
    first_seed = accuracy[accuracy["seed"] == 0]
    panel = charts.panels(first_seed, "test_accuracy", "ci")[0]
    chart = charts.draw(panel, charts.View(charts.domain([panel]), spread="ci"))
    (points,) = layers(chart, "point")
    assert data(chart, points)["low"].isna().all()
    assert data(chart, points)["described"].str.endswith("(n = 1)").all()


def test_a_panel_says_that_its_baseline_is_not_finished(accuracy: pd.DataFrame) -> None:
    panel = charts.panels(accuracy[accuracy["start"] != "dense"], "test_accuracy", "sd")[0]
    assert charts.dense_words(panel, "sd") == "dense baseline not finished yet"
    assert not layers(charts.draw(panel, charts.View((0, 100))), "rule")


def test_the_table_shows_mean_spread_and_n(accuracy: pd.DataFrame) -> None:
    table = charts.table(accuracy, "test_accuracy")
    columns = [name for look in STARTS.values() for name in (look.name, f"{look.name}{LABEL}±")]
    assert list(table.columns) == ["learning rate", "pruner", "sparsity (%)", *columns, "n"]
    assert len(table) == 8
    assert (table["n"] == 3).all()
    rows = accuracy[(accuracy["start"] == "dense") & (accuracy["learning_rate"] == 0.1)]["test_accuracy"]
    row = table[table["learning rate"] == 0.1].iloc[0]
    assert (row["dense"], row[f"dense{LABEL}±"]) == (round(rows.mean(), 2), round(rows.std(), 2))


def test_the_csv_has_a_row_per_point(accuracy: pd.DataFrame) -> None:
    numbers = charts.numbers(accuracy, "best_test_accuracy")
    assert len(numbers) == 2 * 2 * 2 * 4 + 2
    assert {"best_test_accuracy_mean", "best_test_accuracy_sd", "n"} < set(numbers.columns)


def test_a_measured_sparsity_that_differs_from_the_requested_one_is_marked(accuracy: pd.DataFrame) -> None:
    far = (accuracy["pruner"] == "iterative") & (accuracy["sparsity"] == 0.9) & (accuracy["start"] == "reinit")
    rows = accuracy.assign(measured_sparsity=accuracy["sparsity"].where(~far, 0.87))
    marked = charts.table(rows, "test_accuracy")["remark"]
    assert marked.str.contains("measured sparsity 87 %").sum() == 2
    assert "remark" not in charts.table(accuracy.assign(measured_sparsity=accuracy["sparsity"]), "test_accuracy")
    panel = next(panel for panel in charts.panels(rows, "test_accuracy", "sd") if panel.pruner == "iterative")
    chart = charts.draw(panel, charts.View((0, 100)))
    (points,) = layers(chart, "point")
    texts = data(chart, points).set_index(["name", "removed"])["described"]
    assert {key for key, text in texts.items() if "measured" in text} == {(STARTS["reinit"].name, 90.0)}


def test_high_sparsities_are_not_rounded_together(accuracy: pd.DataFrame) -> None:
    rows = accuracy.assign(sparsity=accuracy["sparsity"].replace({0.5: 0.99985, 0.9: 0.9999}))
    panel = charts.panels(rows, "test_accuracy", "sd")[0]
    chart = charts.draw(panel, charts.View((0, 100)))
    (points,) = layers(chart, "point")
    assert set(data(chart, points)["removed"]) == {99.985, 99.99}
    assert set(charts.table(rows, "test_accuracy")["sparsity (%)"]) == {99.985, 99.99}


def test_a_difference_from_dense_is_of_the_same_seed(accuracy: pd.DataFrame) -> None:
    rate, pruner = 0.1, "iterative"
    [panel] = [
        panel
        for panel in charts.panels(accuracy, "test_accuracy", "sd", "below_dense")
        if (panel.learning_rate, panel.pruner) == (rate, pruner)
    ]
    at_rate = accuracy[accuracy["learning_rate"] == rate]
    dense = at_rate[at_rate["start"] == "dense"].set_index("seed")["test_accuracy"]
    for (start, sparsity), rows in at_rate[at_rate["pruner"] == pruner].groupby(["start", "sparsity"]):
        differences = rows.set_index("seed")["test_accuracy"] - dense
        [row] = panel.lines[(panel.lines["start"] == start) & (panel.lines["sparsity"] == sparsity)].to_dict("records")
        assert (row["mean"], row["sd"]) == pytest.approx((differences.mean(), differences.std()))
        assert row["n"] == len(dense)
    # The caption has the accuracy of the dense networks, and the rule is at 0.
    assert charts.dense_words(panel, "sd") == f"dense baseline {dense.mean():.2f} ± {dense.std():.2f} % (n = 3)"
    chart = charts.draw(panel, charts.View(charts.domain([panel], "below_dense"), quantity="below_dense"))
    (rule,) = layers(chart, "rule")
    assert set(data(chart, rule)["mean"]) == {0.0}
    (points,) = layers(chart, "point")
    assert points["encoding"]["y"]["title"] == "minus dense, last epoch (points)"


def test_a_seed_without_its_dense_network_is_in_no_difference(accuracy: pd.DataFrame) -> None:
    lacking = accuracy[(accuracy["start"] != "dense") | (accuracy["seed"] != 0)]
    for panel in charts.panels(lacking, "test_accuracy", "sd", "below_dense"):
        assert set(panel.lines["n"]) == {2}


def test_a_start_far_below_the_others_is_marked_at_the_foot_with_its_value(accuracy: pd.DataFrame) -> None:
    collapsed = (accuracy["start"] == "reinit") & (accuracy["sparsity"] == 0.9)
    rows = accuracy.assign(test_accuracy=accuracy["test_accuracy"].where(~collapsed, 12.0))
    panels = charts.panels(rows, "test_accuracy", "sd")
    assert charts.stretching(panels) == "reinit"
    view = charts.first_view(panels)
    others = rows[rows["start"] != "reinit"]["test_accuracy"]
    assert view.y[0] < others.min()
    assert view.y[0] > 12.0
    chart = charts.draw(panels[0], view)
    [triangle] = [layer for layer in layers(chart, "point") if layer["mark"].get("shape") == "triangle-down"]
    [text] = layers(chart, "text")
    for layer in (triangle, text):
        assert layer["transform"] == [{"filter": f"datum.mean < {view.y[0]!r}"}]
    whole = charts.draw(panels[0], charts.View(charts.domain(panels)))
    assert not layers(whole, "text")


def test_no_start_stretches_an_axis_where_all_lie_together(accuracy: pd.DataFrame) -> None:
    assert charts.stretching(charts.panels(accuracy[accuracy["start"] != "reinit"], "test_accuracy", "sd")) is None
    assert charts.stretching([]) is None


@pytest.mark.parametrize("by_left", [True, False])
def test_points_of_one_sparsity_stand_side_by_side_around_it(accuracy: pd.DataFrame, by_left: bool) -> None:
    panel = charts.panels(accuracy, "test_accuracy", "sd")[0]
    chart = charts.draw(panel, charts.View((0, 100), by_left=by_left, side_by_side=True))
    (points,) = layers(chart, "point")
    rows = data(chart, points)
    for removed, group in rows.groupby("removed"):
        assert group["at"].nunique() == 4
        place = 100 - removed if by_left else removed
        assert group["at"].min() < place < group["at"].max()
        assert abs(group["at"] - place).max() < 0.05 * (100 - removed if by_left else 100)
    assert points["encoding"]["x"]["scale"].get("type") == ("log" if by_left else None)


def test_equal_steps_on_the_axis_halve_what_is_left() -> None:
    axis = marks.SparsityAxis((50.0, 75.0, 87.5), by_left=True)
    left = axis.position(pd.Series([50.0, 75.0, 87.5]))
    assert list(left) == [50.0, 25.0, 12.5]
    encoded = axis.x("at").to_dict()
    assert encoded["axis"]["values"] == [50.0, 25.0, 12.5]
    assert encoded["scale"]["domain"][0] > 50 > 12.5 > encoded["scale"]["domain"][1]
