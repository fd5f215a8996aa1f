from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

from app.compare import seeds
from app.compare.points import comparable, points
from data import saved_views
from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import Studies
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun, tables, texts
from tests.app.made_study import record

PAGE = "views/compare.py"
FIRST, SECOND = "made-study-0001", "other-study-0002"


def charts(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


def address(app: AppTest) -> dict[str, str]:
    return {name: values[0] if isinstance(values, list) else values for name, values in app.query_params.items()}


@pytest.fixture
def one_study(database: Database, study: Study) -> Database:
    record(database, study, study_id=FIRST)
    return database


@pytest.fixture
def two_studies(database: Database, study: Study) -> Database:
    """Two studies, of which the one that is called first is the latest."""
    longer = study.model_copy(update={"name": "Longer", "recipe": study.recipe.model_copy(update={"epochs": 6})})
    record(database, longer, study_id=SECOND)
    record(database, study, study_id=FIRST)
    return database


def test_without_a_study_the_page_explains_how_to_begin() -> None:
    app = open_page(PAGE)
    assert "no study to compare yet" in texts(app)
    assert charts(app) == 0


def test_the_latest_study_is_shown_first_and_is_in_the_address(two_studies: Database) -> None:
    app = open_page(PAGE)
    assert app.multiselect(key="compare_studies").value == [FIRST]
    assert address(app) == {"s": "made-s", "pr": "iterative", "x": "remaining"}
    assert charts(app) == 2


def test_a_study_without_results_announces_its_first_points(database: Database, study: Study) -> None:
    record(database, study, lambda index, stage: "queued", study_id=FIRST)
    app = open_page(PAGE, s=FIRST)
    assert "The first points appear here" in texts(app)
    assert charts(app) == 0


def test_every_choice_is_written_into_the_address_and_restored_from_it(two_studies: Database) -> None:
    app = open_page(PAGE, s="made-s~other-")
    app.pills(key="compare_pruners").set_value(["oneshot"])
    app.selectbox(key="compare_by").select("recipe")
    app.selectbox(key="compare_spread").select("range")
    app.segmented_control(key="compare_axis").set_value("remaining")
    rerun(app)
    app.selectbox(key="compare_panels").select("start")
    rerun(app)
    query = {"s": "made-s~other-", "pr": "oneshot", "by": "start", "c": "recipe", "b": "range", "x": "remaining"}
    assert address(app) == query
    restored = open_page(PAGE, **query)
    assert address(restored) == query
    assert restored.pills(key="compare_pruners").value == ["oneshot"]
    assert restored.selectbox(key="compare_panels").value == "start"
    assert restored.segmented_control(key="compare_axis").value == "remaining"
    # Four panels, and the difference of the two studies at two learning rates.
    assert charts(restored) == charts(app) == 4 + 2


def test_the_legend_distinguishes_recipes(two_studies: Database) -> None:
    app = open_page(PAGE, s=f"{FIRST}~{SECOND}", pr="iterative")
    assert "recipe" in app.selectbox(key="compare_panels").options
    legends = "".join(str(item.proto) for item in app.get("html"))
    assert "T 4" in legends
    assert "T 6" in legends


def test_a_comparison_names_its_studies_and_shows_their_difference(two_studies: Database) -> None:
    app = open_page(PAGE, s=f"{FIRST}~{SECOND}", pr="iterative")
    legends = "".join(str(item.proto) for item in app.get("html"))
    assert "Small study · T 4" in legends
    assert "Longer · T 6" in legends
    text = texts(app)
    assert "Small study, Longer" in text
    assert "Small study minus Longer" in text
    difference, numbers = tables(app)
    assert set(numbers["study"]) == {"Small study", "Longer"}
    assert len(difference) == 2 * (1 + 2 * 4)
    assert set(difference["by"]) == {"paired by seed"}
    first = difference.iloc[0]
    one, other = (float(first[f"mean, {name}"]) for name in ("Small study", "Longer"))
    assert float(first["difference"].replace("−", "-")) == pytest.approx(one - other, abs=0.011)
    app.button(key="compare_swap").click()
    assert "Longer minus Small study" in texts(rerun(app))
    assert address(app)["vs"] == "1~0"
    app.segmented_control(key="compare_together").set_value("pooled")
    app.segmented_control(key="compare_quantity").set_value("below_dense")
    app.segmented_control(key="compare_fit").set_value("each")
    rerun(app)
    assert "study" not in tables(app)[1]
    assert {"g": "pooled", "y": "below_dense", "f": "each"}.items() <= address(app).items()


def test_many_panels_are_paged_with_those_that_say_most_first(database: Database, study: Study) -> None:
    rates = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    record(database, study.model_copy(update={"learning_rates": rates, "pruners": ("oneshot",)}), study_id=FIRST)
    app = open_page(PAGE, s=FIRST)
    assert charts(app) == 6
    text = texts(app)
    assert "Learning rate 0.0001" in text
    assert "Learning rate 0.3" in text
    app.selectbox(key="compare_page").select(1)
    assert charts(rerun(app)) == 2
    assert address(app)["pg"] == "1"


def test_stale_and_forged_values_are_reported_and_the_others_apply(one_study: Database) -> None:
    app = open_page(PAGE, s=f"{FIRST}~gone42", n="vgg99", b="ci", z="9~1~2", pr="oneshot")
    warnings = [item.value for item in app.warning]
    assert any("gone42" in text for text in warnings)
    assert any("9\\~1\\~2" in text for text in warnings)
    assert any("no result of network “vgg99”" in text for text in warnings)
    assert address(app) == {"s": "made-s", "pr": "oneshot", "b": "ci"}
    assert charts(app) == 2
    # The warnings appear only once, for the address that caused them.
    assert not rerun(app).warning


def test_without_a_chosen_study_the_page_asks_for_one(one_study: Database) -> None:
    app = open_page(PAGE, s=FIRST, pr="oneshot", st="rewind")
    assert charts(app) == 2
    app.multiselect(key="compare_studies").set_value([])
    assert "Pick one study or several" in texts(rerun(app))
    assert address(app)["s"] == ""


def test_a_point_of_the_address_lists_its_seeds_and_curves(one_study: Database) -> None:
    rows = points(comparable(queries.accuracy(one_study, Studies([FIRST])), studies=False), "test_accuracy", "sd")
    row = rows[(rows["start"] == "rewind") & (rows["pruner"] == "oneshot")].iloc[-1]
    app = open_page(PAGE, s=FIRST, pr="oneshot", at=row["id"])
    assert f"Rewind · one\\-shot magnitude {100 * row['sparsity']:g} %" in texts(app)
    assert charts(app) == 2 + 2
    table = next(table for table in tables(app) if "Seed" in table)
    assert table["Seed"].tolist() == ["0", "1", "2"]
    assert set(table["Study"]) == {"Small study"}
    app.button(key="compare_close").click()
    assert charts(rerun(app)) == 2
    assert "at" not in address(app)


def test_the_curves_of_a_point_are_saved_by_seed_and_epoch(one_study: Database) -> None:
    rows = points(comparable(queries.accuracy(one_study, Studies([FIRST])), studies=False), "test_accuracy", "sd")
    runs = seeds.seed_rows((FIRST,), False, str(rows[rows["start"] == "rewind"].iloc[0]["id"]))
    epochs = queries.epochs(one_study, Studies([FIRST]), runs["fingerprint"].tolist())
    saved = seeds.numbers(epochs, runs, "accuracy")
    assert list(saved.columns) == ["seed", "fingerprint", "epoch", "train_accuracy", "test_accuracy"]
    assert saved.groupby("seed")["epoch"].max().tolist() == [4, 4, 4]
    last = saved[saved["epoch"] == 4].set_index("seed")["test_accuracy"]
    assert last.to_dict() == pytest.approx(runs.set_index("seed")["test_accuracy"].to_dict())


def test_a_zoom_of_the_address_can_be_undone(one_study: Database) -> None:
    app = open_page(PAGE, s=FIRST, z="45~60~90~95")
    app.button(key="compare_whole").click()
    rerun(app)
    assert "z" not in address(app)


def test_the_sweep_has_three_panels_and_the_picture_of_gap_against_overlap(one_study: Database) -> None:
    app = open_page(PAGE, s=FIRST, v="sweep")
    assert charts(app) == 3 + 1
    assert "n = 6" in texts(app)
    app.selectbox(key="compare_sparsity").select(0.5)
    rerun(app)
    assert address(app)["sp"] == "0.5"
    app.pills(key="compare_learning_rates").set_value([0.1])
    assert "n = 3" in texts(rerun(app))


def test_the_overlap_view_shows_five_kinds_of_charts(one_study: Database) -> None:
    app = open_page(PAGE, s=FIRST, v="overlap")
    # One chart by p, one over time, two panels for each pruner and rate, and a map for each rate.
    assert charts(app) == 1 + 1 + 4 + 4 + 2
    app.segmented_control(key="compare_across").set_value("learning_rate")
    app.segmented_control(key="compare_time").set_value("log")
    assert charts(rerun(app)) == 1 + 1 + 4 + 4 + 1
    assert address(app) == {"s": "made-s", "v": "overlap", "t": "log", "a": "learning_rate"}


def test_trainings_without_overlap_over_time_are_counted(one_study: Database) -> None:
    with one_study.writing() as connection:
        connection.execute("DELETE FROM retention")
    app = open_page(PAGE, s=FIRST, v="overlap")
    assert "6 dense trainings were recorded without this" in texts(app)
    assert charts(app) == 1 + 4 + 4 + 2


def test_dense_only_studies_can_be_compared(database: Database, study: Study) -> None:
    record(database, study.model_copy(update={"pruners": (), "starts": (), "sparsities": ()}), study_id=FIRST)
    for mode in ("accuracy", "sweep", "overlap"):
        assert charts(open_page(PAGE, s=FIRST, v=mode)) >= 2


@pytest.mark.parametrize("mode", ["accuracy", "sweep", "overlap"])
@pytest.mark.parametrize("done", [1, 8])
def test_every_view_draws_the_results_so_far(database: Database, study: Study, mode: str, done: int) -> None:
    record(database, study, lambda index, stage: "done" if index < done else "waiting", study_id=FIRST)
    assert open_page(PAGE, s=FIRST, v=mode).title[0].value == "Compare"


def test_a_view_is_saved_with_whole_ids_and_can_be_opened_renamed_and_deleted(one_study: Database) -> None:
    app = open_page(PAGE, s=FIRST, b="ci")
    app.text_input(key="compare_name").input("My view")
    next(button for button in app.button if button.label == "Save view").click()
    rerun(app)
    (row,) = saved_views.list(one_study).itertuples()
    assert (row.name, dict(parse_qsl(row.state))) == ("My view", {"s": FIRST, "b": "ci"})
    assert [link.label for link in app.get("page_link")] == ["My view"]
    saved_views.save(one_study, "Taken", "s=x")
    app.button(key=f"view-rename-{row.view_id}").click()
    rerun(app)
    app.text_input(key=f"view-new-name-{row.view_id}").input("Taken")
    app.button(key=f"view-renamed-{row.view_id}").click()
    assert "exists already" in texts(rerun(app))
    app.text_input(key=f"view-new-name-{row.view_id}").input("Our view")
    app.button(key=f"view-renamed-{row.view_id}").click()
    rerun(app)
    assert [link.label for link in app.get("page_link")] == ["Taken", "Our view"]
    saved_views.delete(one_study, saved_views.list(one_study).iloc[0]["view_id"])
    app.button(key=f"view-delete-{row.view_id}").click()
    rerun(app)
    assert saved_views.list(one_study).empty


def test_a_link_from_another_page_shows_one_study_and_one_pruner(two_studies: Database) -> None:
    app = open_page(PAGE, new=SECOND)
    assert address(app) == {"s": "other-", "pr": "iterative", "x": "remaining"}
    study = open_page("views/study.py", study=SECOND)
    assert study.button(key="study_compare").label == "Compare with others"


def test_a_viewer_sees_only_the_shared_studies(two_studies: Database) -> None:
    def shared() -> None:
        from app.compare import page
        from app.compare.state import CompareState

        page.draw_comparison(CompareState(studies=("made-study-0001", "other-study-0002")), ["made-study-0001"])

    app = rerun(AppTest.from_function(shared, default_timeout=30))
    assert charts(app) == 2
    assert not app.multiselect
    assert not [button for button in app.button if "Save" in button.label]
    app.selectbox(key="compare_by").select("pruner")
    assert charts(rerun(app)) == 2
