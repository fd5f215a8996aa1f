import pytest

from app.compare import panel_chart as charts
from app.compare.panel_chart import BRUSH, POINT, WHOLE
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


def specification(comparison: Comparison, axis: str = "sparsity", zoomed: bool = False) -> dict:
    x, y = charts.domains(comparison, axis)
    return charts.draw(comparison, "test_accuracy", "ci", axis, x, y, zoomed).to_dict()


def test_the_chart_is_valid_and_names_its_selections(comparison: Comparison) -> None:
    whole = specification(comparison)
    assert {param["name"] for param in whole["params"]} == {POINT, BRUSH}
    assert {param["name"] for param in specification(comparison, zoomed=True)["params"]} == {POINT, BRUSH, WHOLE}
    (brush,) = [param["select"] for param in whole["params"] if param["name"] == BRUSH]
    # Wheel and touch still scroll the page.
    assert brush["zoom"] is False
    assert "pointerType === 'mouse'" in brush["on"]


def test_only_points_have_the_id_that_a_click_returns(comparison: Comparison) -> None:
    x, _ = charts.domains(comparison, "sparsity")
    rows = charts.rows(comparison.panels[0], comparison, "sparsity", x)
    assert [name for name, frame in rows.items() if "id" in frame] == ["points"]
    assert len(rows["points"]) == len(rows["lines"]) == 4 * 2 * 2
    assert {layer["data"]["name"] for layer in specification(comparison)["layer"]} == set(rows)


@pytest.mark.parametrize("axis", ["sparsity", "remaining"])
def test_the_axes_hold_every_point_and_band(comparison: Comparison, axis: str) -> None:
    (left, right), (bottom, top) = charts.domains(comparison, axis)
    for panel in comparison.panels:
        rows = charts.rows(panel, comparison, axis, (left, right))
        assert rows["points"]["x"].between(left, right).all()
        for name in ("lines", "dense"):
            assert rows[name][["low", "high"]].stack().between(max(0, bottom), top + 1e-9).mean() > 0.9
        assert rows["points"]["mean"].between(bottom, top).all()


def test_remaining_weights_are_on_a_descending_log_axis(comparison: Comparison) -> None:
    layer = specification(comparison, "remaining")["layer"][-1]["encoding"]["x"]
    assert (layer["scale"]["type"], layer["scale"]["reverse"]) == ("log", True)
    assert layer["scale"]["domain"][0] > 0
    x, _ = charts.domains(comparison, "remaining")
    assert sorted(set(charts.rows(comparison.panels[0], comparison, "remaining", x)["points"]["x"])) == [10.0, 50.0]
