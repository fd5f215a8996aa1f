import pytest

from app.charts.palette import STARTS
from app.compare import panel_chart as charts
from app.compare.panel_chart import BRUSH, POINT, WHOLE, View
from app.compare.points import Comparison, comparable, compare, looks, points
from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import Studies
from engine.study.spec import Study
from tests.app.made_study import record


@pytest.fixture
def comparison(database: Database, study: Study) -> Comparison:
    record(database, study)
    rows = points(
        comparable(queries.accuracy(database, Studies(["made-study-0001"])), studies=False), "test_accuracy", "ci"
    )
    return compare(rows, looks("start", rows), "learning_rate", "start", "ci")


def view(comparison: Comparison, axis: str = "sparsity", zoomed: bool = False, without: str | None = None) -> View:
    sparsities = charts.sparsities(comparison, axis)
    y = charts.accuracies(comparison.panels, "accuracy", without)
    return View("test_accuracy", "ci", "accuracy", sparsities, sparsities.span, y, zoomed)


def specification(comparison: Comparison, axis: str = "sparsity", zoomed: bool = False) -> dict:
    return charts.draw(comparison, view(comparison, axis, zoomed)).to_dict()


def test_the_chart_is_valid_and_names_its_selections(comparison: Comparison) -> None:
    whole = specification(comparison)
    assert {param["name"] for param in whole["params"]} == {POINT, BRUSH}
    assert {param["name"] for param in specification(comparison, zoomed=True)["params"]} == {POINT, BRUSH, WHOLE}
    (brush,) = [param["select"] for param in whole["params"] if param["name"] == BRUSH]
    # Wheel and touch still scroll the page.
    assert brush["zoom"] is False
    assert "pointerType === 'mouse'" in brush["on"]


def test_only_points_have_the_id_that_a_click_returns(comparison: Comparison) -> None:
    rows = charts.rows(comparison.panels[0], comparison, view(comparison))
    assert [name for name, frame in rows.items() if "id" in frame] == ["points"]
    assert len(rows["points"]) == len(rows["lines"]) == 4 * 2 * 2
    assert {layer["data"]["name"] for layer in specification(comparison)["layer"]} == set(rows)


@pytest.mark.parametrize("axis", ["sparsity", "remaining"])
def test_the_axes_hold_every_point_and_band(comparison: Comparison, axis: str) -> None:
    drawn = view(comparison, axis)
    bottom, top = drawn.y
    for panel in comparison.panels:
        rows = charts.rows(panel, comparison, drawn)
        assert rows["points"]["x"].between(*sorted(drawn.x)).all()
        for name in ("lines", "dense"):
            assert rows[name][["low", "high"]].stack().between(max(0, bottom), top + 1e-9).mean() > 0.9
        assert rows["points"]["mean"].between(bottom, top).all()


def test_points_of_a_start_that_the_axis_leaves_out_are_marked_at_its_foot(comparison: Comparison) -> None:
    near = view(comparison, without=STARTS["reinit"].name)
    assert near.y[0] > view(comparison).y[0]
    layers = charts.draw(comparison, near).to_dict()["layer"]
    assert any(layer["mark"].get("shape") == "triangle-down" for layer in layers if isinstance(layer["mark"], dict))


def test_sparsities_spaced_by_what_is_left_are_on_a_descending_log_axis(comparison: Comparison) -> None:
    scale = specification(comparison, "remaining")["layer"][-1]["encoding"]["x"]["scale"]
    assert scale["type"] == "log"
    assert scale["domain"][0] > scale["domain"][1] > 0
    rows = charts.rows(comparison.panels[0], comparison, view(comparison, "remaining"))
    assert set(rows["points"]["removed"]) == {50.0, 90.0}
