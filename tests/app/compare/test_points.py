import itertools

import pandas as pd
import pytest

from app.charts.palette import STARTS
from app.compare.points import (
    KEYS,
    comparable,
    compare,
    filtered,
    looks,
    point_id,
    points,
    rest_fields,
    rest_looks,
    values,
)
from app.compare.state import CompareState
from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import Studies
from engine.study.spec import Study
from tests.app.made_study import record

IDS = ("made-study-0001", "longer")


@pytest.fixture
def both(database: Database, study: Study) -> pd.DataFrame:
    """The accuracies of two studies that differ in T, and so share no stage."""
    record(database, study, study_id=IDS[0])
    longer = study.model_copy(update={"name": "Longer", "recipe": study.recipe.model_copy(update={"epochs": 6})})
    record(database, longer, study_id=IDS[1])
    return queries.accuracy(database, Studies(IDS))


def comparison(rows: pd.DataFrame, state: CompareState, spread: str = "sd"):  # type: ignore[no-untyped-def]
    means = points(rows, "test_accuracy", spread)
    return compare(filtered(means, state), looks(state.by, means), state.panels, state.by, spread)


def test_only_seeds_are_averaged(both: pd.DataFrame) -> None:
    rows = comparable(both, studies=False)
    means = points(rows, "test_accuracy", "sd")
    assert (means["n"] == 3).all()
    assert not means[KEYS].duplicated().any()
    assert means["n"].sum() == len(rows)
    row = means[(means["start"] == "rewind") & (means["pruner"] == "oneshot") & (means["sparsity"] == 0.9)].iloc[0]
    same = (rows[KEYS].fillna("") == row[KEYS].fillna("")).all(axis=1)
    assert row["mean"] == pytest.approx(rows[same]["test_accuracy"].mean())


def test_every_point_has_an_id_of_its_own_that_does_not_depend_on_the_others(both: pd.DataFrame) -> None:
    means = points(comparable(both, studies=False), "test_accuracy", "sd")
    assert means["id"].is_unique
    assert means["id"].str.fullmatch("[0-9a-f]{8}").all()
    one_seed = points(comparable(both[both["seed"] == 1], studies=False), "best_test_accuracy", "range")
    assert set(one_seed["id"]) == set(means["id"])
    assert point_id(["a", None]) == point_id(["a", float("nan")])


def test_fields_of_neither_panels_nor_colours_get_lines_of_their_own(both: pd.DataFrame) -> None:
    state = CompareState(panels="learning_rate", by="start")
    compared = comparison(comparable(both, studies=False), state)
    assert [panel.title for panel in compared.panels] == ["learning rate 0.01", "learning rate 0.1"]
    assert len(compared.rests) == 2 * 2
    for panel in compared.panels:
        assert not panel.lines[["name", "rest", "sparsity"]].duplicated().any()
        assert len(panel.lines) == 4 * 2 * 2 * 2
        # A dense baseline has a recipe but no pruner.
        assert len(panel.dense) == 2
        assert set(panel.dense["recipe"]) == {"T 4", "T 6"}


@pytest.mark.parametrize(("panels", "by"), [*itertools.permutations(["learning_rate", "start", "pruner", "recipe"], 2)])
def test_no_choice_of_fields_hides_a_point_or_merges_two(both: pd.DataFrame, panels: str, by: str) -> None:
    compared = comparison(comparable(both, studies=False), CompareState(panels=panels, by=by))
    lines = pd.concat([panel.lines for panel in compared.panels])
    assert lines["id"].is_unique
    assert len(lines) == 2 * 2 * 4 * 2 * 2
    assert (
        not pd.concat([panel.lines.assign(panel=panel.title) for panel in compared.panels])[
            ["panel", "name", "rest", "sparsity"]
        ]
        .duplicated()
        .any()
    )
    assert set(lines["name"]) <= set(compared.colours)
    assert set(lines["rest"]) == (set(compared.rests) or {""})


def test_separate_studies_each_show_the_points_that_they_share(database: Database, study: Study) -> None:
    record(database, study, study_id="one")
    record(database, study.model_copy(update={"name": "Copy"}), study_id="two")
    rows = queries.accuracy(database, Studies(["one", "two"]))
    together = comparison(comparable(rows, studies=False), CompareState())
    assert sum(len(panel.lines) for panel in together.panels) == 32
    each = comparison(comparable(rows, studies=True), CompareState(panels="study"))
    assert [panel.title for panel in each.panels] == ["Small study", "Copy"]
    assert [len(panel.lines) for panel in each.panels] == [32, 32]


def test_lines_do_not_name_a_recipe_that_their_study_determines(both: pd.DataFrame) -> None:
    pruned = points(comparable(both, studies=True), "test_accuracy", "sd")
    assert "recipe" not in rest_fields(pruned, "start", "study")
    assert "recipe" in rest_fields(points(comparable(both, studies=False), "test_accuracy", "sd"), "start", "pruner")


def test_filters_leave_the_chosen_values_and_the_dense_baseline(both: pd.DataFrame) -> None:
    state = CompareState(pruners=("oneshot",), learning_rates=(0.1,), starts=("rewind", "dense"))
    rows = filtered(comparable(both, studies=False), state)
    assert set(rows["pruner"].dropna()) == {"oneshot"}
    assert set(rows["start"]) == {"rewind", "dense"}
    assert set(rows["learning_rate"]) == {0.1}
    assert filtered(rows, CompareState(networks=("vgg11",))).empty


def test_colours_stay_when_filters_hide_a_value(both: pd.DataFrame) -> None:
    rows = comparable(both, studies=False)
    state = CompareState(panels="start", by="learning_rate")
    filtered = comparison(rows, CompareState(panels="start", by="learning_rate", learning_rates=(0.1,)))
    assert filtered.colours["learning rate 0.1"] == comparison(rows, state).colours["learning rate 0.1"]


def test_without_points_there_is_no_panel(both: pd.DataFrame) -> None:
    assert comparison(comparable(both, studies=False), CompareState(networks=("vgg11",))).panels == ()


def test_dense_alone_is_a_panel_with_a_baseline(both: pd.DataFrame) -> None:
    compared = comparison(comparable(both, studies=False), CompareState(starts=("dense",)))
    assert [panel.title for panel in compared.panels] == ["learning rate 0.01", "learning rate 0.1"]
    assert all(panel.lines.empty and len(panel.dense) == 2 for panel in compared.panels)
    assert set(compared.colours) <= {look.name for look in STARTS.values()}


def test_lines_of_one_colour_differ_in_dash_or_shape() -> None:
    rests = rest_looks({f"line {number}": "" for number in range(24)})
    assert len({(look.shape, look.dash) for look in rests.values()}) == 24
    assert len(rest_looks({f"line {number}": "" for number in range(100)})) == 100


def test_each_study_has_one_style_of_line_its_dense_baseline_too(both: pd.DataFrame) -> None:
    compared = comparison(comparable(both, studies=True), CompareState())
    dashes: dict[str, set[tuple[int, ...]]] = {}
    for name, look in [*compared.rests.items(), *compared.dense.items()]:
        dashes.setdefault(name.partition(" · ")[0], set()).add(look.dash)
    assert dashes.keys() == {"Small study", "Longer"}
    assert all(len(own) == 1 for own in dashes.values())
    assert dashes["Small study"] != dashes["Longer"]
    assert len({(look.shape, look.dash) for look in compared.rests.values()}) == len(compared.rests)
    assert [panel.studies for panel in compared.panels] == [["Small study", "Longer"]] * 2


def test_a_difference_from_dense_is_that_of_the_same_study_and_seed(both: pd.DataFrame) -> None:
    rows = values(comparable(both, studies=True), "test_accuracy", "below_dense")
    dense = both[both["start"] == "dense"].set_index(["study", "learning_rate", "seed"])["test_accuracy"]
    pruned = rows[rows["start"] != "dense"]
    own = dense.loc[list(pruned[["study", "learning_rate", "seed"]].itertuples(index=False, name=None))]
    assert (pruned["test_accuracy"].to_numpy() + own.to_numpy()) == pytest.approx(
        both.loc[pruned.index, "test_accuracy"].to_numpy()
    )
