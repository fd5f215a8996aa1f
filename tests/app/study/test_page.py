import re
import time

import pytest
import streamlit as st
from redis import Redis
from streamlit.testing.v1 import AppTest

from app.state import live
from data import shared_links
from data.database.database import Database
from data.queries import studies
from engine.study.plan import Plan
from engine.study.spec import Study, to_toml
from tasks.queue import leases
from tasks.studies import planning
from tests.app.dashboard import open_page, rerun, tables, texts
from tests.app.made_study import States, record

PAGE, ID = "views/study.py", "made-study-0001"


def tab(name: str, **query: str) -> AppTest:
    app = open_page(PAGE, study=ID, **query)
    app.session_state["tab"] = name
    return rerun(app)


def charts(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


def half(index: int, stage: object) -> str:
    del stage
    return "done" if index < 20 else "running" if index < 22 else "failed" if index == 22 else "waiting"


def nothing(index: int, stage: object) -> str:
    del index, stage
    return "queued"


@pytest.mark.parametrize("query", [{}, {"study": "gone"}])
def test_the_page_of_an_unknown_study_says_so_and_links_back(database: Database, query: dict[str, str]) -> None:
    del database
    app = open_page(PAGE, **query)
    assert app.title[0].value == "No such study"
    assert [link.label for link in app.get("page_link")] == ["All studies"]


def test_without_a_database_the_study_is_unknown() -> None:
    assert "No study 'gone' is recorded here" in open_page(PAGE, study="gone").error[0].value


def test_the_page_waits_for_a_study_just_launched(database: Database) -> None:
    del database
    app = open_page(PAGE, study="fresh")
    app.session_state[live._EXPECTED] = {"fresh": time.monotonic()}
    assert "No such study" not in texts(rerun(app))
    app.session_state[live._EXPECTED] = {"fresh": time.monotonic() - live.BEHIND}
    assert "No such study" in texts(rerun(app))


def test_the_head_describes_the_study(database: Database, study: Study) -> None:
    record(database, study)
    app = open_page(PAGE, study=ID)
    assert app.title[0].value == "Small study"
    assert ":green-badge[done]" in texts(app)
    assert "learning rates 0.01, 0.1" in texts(app)


def test_the_progress_tab_describes_a_running_study(database: Database, study: Study) -> None:
    record(database, study, half, reused=5, error="RuntimeError: a made-up failure\n\nTraceback")
    app = open_page(PAGE, study=ID)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Running"] == "2"
    assert metrics["Failed"] == "1"
    assert metrics["Reused"] == "5"
    # 56 stages of two seconds are left for two workers.
    assert metrics["About left"] == "57 s"
    assert metrics["Done"].startswith("about ")
    assert app.button(key="cancel").label == "Cancel study"
    assert app.button(key="retry").label == "Retry failed and cancelled stages"
    assert "Live speeds are missing" in texts(app)
    assert charts(app) == 2
    (table,) = app.dataframe
    assert len(table.value) == 78
    assert table.value["State"].iloc[0] == "running"
    (failure,) = [expander for expander in app.expander if expander.label.startswith("Failed")]
    assert failure.code[0].value == "RuntimeError: a made-up failure\n\nTraceback"


BAD_IMAGES = (
    "DatasetError: 2 of the 60 images in /data/flowers cannot be trained on; replace or remove them:\n"
    "train/dark/3.png is empty\ntest/light/1.png is empty\n\nTraceback (most recent call last):\n  File ...\n"
    "data.datasets.source.DatasetError: 2 of the 60 images"
)


def failing(index: int, stage: object) -> str:
    del stage
    return "failed" if index < 3 else "waiting"


def test_a_failed_study_says_why_on_top(database: Database, study: Study) -> None:
    record(database, study, failing, error=BAD_IMAGES)
    app = tab("Progress")
    [error] = [item.value.replace("\\", "") for item in app.error]
    assert error.splitlines() == [
        "**3 stages of 78 failed**, 10 stages that build on them are blocked:",
        "",
        "- **2 of the 60 images in /data/flowers cannot be trained on; replace or remove them.** :small[(3 stages, "
        "first dense · learning rate 0.01 · seed 0)]",
        "",
        "Fix the cause, then retry. After a change of images, launch the study anew.",
    ]
    assert app.button(key="retry").label == "Retry failed and cancelled stages"
    app.session_state["tab"] = "Progress"
    rerun(app)
    assert {metric.label: metric.value for metric in app.metric}["Blocked"] == "10"
    assert list(app.dataframe[0].value["State"][:13]) == ["failed"] * 3 + ["blocked"] * 10
    [failure, *_] = [expander for expander in app.expander if expander.label.startswith("Failed")]
    assert "train/dark/3.png is empty" in failure.code[0].value
    with database.writing() as connection:
        connection.execute(
            "UPDATE states SET error = 'KeyError: 3', finished_at = finished_at - INTERVAL 1 HOUR WHERE fingerprint = "
            "(SELECT max(fingerprint) FROM states WHERE state = 'failed')"
        )
    st.cache_data.clear()
    st.cache_resource.clear()
    [error] = [item.value.replace("\\", "") for item in open_page(PAGE, study=ID).error]
    causes = [line for line in error.splitlines() if line.startswith("- **")]
    assert causes[0].startswith("- **KeyError: 3.** :small[(")
    assert causes[1].startswith(
        "- **2 of the 60 images in /data/flowers cannot be trained on; replace or remove them.**"
    )
    assert len(causes) == 2


def test_a_viewer_of_a_failed_study_is_shown_no_path(database: Database, study: Study) -> None:
    record(database, study, failing, error=BAD_IMAGES)
    token = shared_links.create(database, [ID])[1]
    [error] = [item.value for item in open_page("views/shared.py", share=token).error]
    assert error.startswith("**3 stages of 78 failed**")
    assert "/" not in error
    assert "retry" not in error


def launched(redis: Redis, study: Study, planned: Plan) -> None:
    """Register a study in the queue without its stages, so that a retry queues all of them."""
    stages = [{**stage.model_dump(mode="json"), "fingerprint": key} for key, stage in planned.stages.items()]
    body = {"study_id": ID, "toml": to_toml(study), "stages": stages, "roles": []}
    leases.register(redis, ID, body, (), ())


@pytest.mark.parametrize("states", [failing, lambda index, stage: "cancelled"], ids=["retry", "continue"])
def test_a_long_retry_asks_first(
    database: Database, study: Study, redis: Redis, monkeypatch: pytest.MonkeyPatch, states: States
) -> None:
    monkeypatch.setattr(planning, "LONG", 0.0)
    planned = record(database, study, states)
    launched(redis, study, planned)
    app = open_page(PAGE, study=ID)
    for answer in ("no", "yes"):
        app.button(key="retry").click()
        app = rerun(app)
        [question] = [item.value.replace("\\", "") for item in app.markdown if "This takes long" in item.value]
        assert re.search(r"78 trainings, about .* on \d+ workers?, done about .*, and \d+ MiB in the", question)
        assert not leases.states(redis, list(planned.stages))
        app.button(key=f"retry_long_{answer}").click()
        app = rerun(app)
        assert "This takes long" not in texts(app)
    assert len(leases.states(redis, list(planned.stages))) == 78
    assert "**Queued again**" in texts(app)


def test_a_retry_says_at_once_that_stages_are_queued_again(database: Database, study: Study, redis: Redis) -> None:
    planned = record(database, study, failing, error=BAD_IMAGES)
    launched(redis, study, planned)
    app = open_page(PAGE, study=ID)
    app.button(key="retry").click()
    rerun(app)
    # Nobody records it in this test, but the queue has it.
    assert set(leases.states(redis, list(planned.stages)).values()) == {"queued", "waiting"}
    assert "**Queued again**: 3 stages. The page shows them as soon as they are recorded." in texts(app)
    assert not app.error
    assert not [button for button in app.button if button.key == "retry"]
    # A stage that fails again is recorded later, and the page says so.
    with database.writing() as connection:
        connection.execute("UPDATE states SET finished_at = finished_at + INTERVAL 1 DAY WHERE state = 'failed'")
    st.cache_data.clear()
    st.cache_resource.clear()
    assert "**3 stages of 78 failed**" in rerun(app).error[0].value


def test_a_study_without_failures_shows_no_error(database: Database, study: Study) -> None:
    record(database, study)
    assert not open_page(PAGE, study=ID).error


def test_cancelling_asks_first(database: Database, study: Study) -> None:
    record(database, study, half)
    app = open_page(PAGE, study=ID)
    app.button(key="cancel").click()
    rerun(app)
    assert "Stages that are done stay done" in texts(app)
    assert app.button(key="cancel_yes").label == "Cancel the study"
    assert studies.study(database, ID).state == "running"


def test_stages_can_be_searched_and_filtered(database: Database, study: Study) -> None:
    record(database, study, half)
    app = open_page(PAGE, study=ID)
    app.text_input(key="stages_search").input("dense 0.1")
    assert len(rerun(app).dataframe[0].value) == 3


def test_chosen_stages_are_drawn_as_curves(database: Database, study: Study) -> None:
    record(database, study)
    app = tab("Progress")
    assert charts(app) == 2
    app.segmented_control(key="curves_which").set_value("chosen")
    assert len(rerun(app).multiselect(key="curves_chosen").value) == 2
    assert charts(app) == 2


def test_accuracy_has_a_panel_per_learning_rate_and_pruner_and_the_numbers(database: Database, study: Study) -> None:
    record(database, study)
    app = tab("Accuracy")
    assert charts(app) == 4
    text = texts(app).replace("\\", "")
    assert "Learning rate 0.01 · one-shot magnitude" in text
    assert "dense baseline" in text
    assert len(tables(app)[0]) == 8
    app.selectbox(key="accuracy_spread").select("ci")
    for key, value in (("accuracy_axis", "each"), ("accuracy_quantity", "below_dense"), ("accuracy_spacing", "even")):
        app.segmented_control(key=key).set_value(value)
        assert charts(rerun(app)) == 4
        assert not app.exception


def test_accuracy_of_several_networks_has_a_selector(database: Database, study: Study) -> None:
    record(database, study.model_copy(update={"networks": ("lenet300", "vgg11"), "seeds": (0,)}))
    app = tab("Accuracy")
    assert app.selectbox(key="accuracy_network").options == ["LeNet-300", "VGG-11"]
    assert charts(app) == 4


def test_the_overlap_tab_shows_five_kinds_of_charts_and_the_weight_decay(database: Database, study: Study) -> None:
    record(database, study)
    app = tab("Overlap")
    assert charts(app) == 1 + 1 + 4 + 4 + 2
    assert "Weight decay 0.01, T = 4 epochs: both affect how much of the initial weights is left." in texts(app)
    assert [len(table) for table in tables(app)] == [2, 4]
    app.select_slider(key="overlap_p").set_value(0.1)
    assert len(tables(rerun(app))[1]) == 8


@pytest.mark.parametrize("name", ["Accuracy", "Overlap"])
def test_a_tab_without_results_says_that_they_are_to_come(database: Database, study: Study, name: str) -> None:
    record(database, study, nothing)
    app = tab(name)
    assert charts(app) == 0
    assert "yet" in app.info[0].value


@pytest.mark.parametrize("name", ["Progress", "Accuracy", "Overlap"])
def test_dense_only_studies_have_every_tab(database: Database, study: Study, name: str) -> None:
    record(database, study.model_copy(update={"pruners": (), "starts": (), "sparsities": ()}))
    text = texts(tab(name))
    assert {"Progress": "6 of 6", "Accuracy": "No pruned network has finished yet", "Overlap": "no fine-tune"}[
        name
    ] in text or name == "Progress"


@pytest.mark.parametrize("name", ["Progress", "Accuracy", "Overlap"])
@pytest.mark.parametrize("done", [1, 3, 7, 30])
def test_every_tab_draws_the_results_so_far(database: Database, study: Study, name: str, done: int) -> None:
    record(database, study, lambda index, stage: "done" if index < done else "waiting")
    assert "Small study" in texts(tab(name))


def test_many_learning_rates_have_the_panels_that_say_most_and_a_choice_of_others(
    database: Database, study: Study
) -> None:
    rates = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    record(database, study.model_copy(update={"learning_rates": rates, "pruners": ("oneshot",), "seeds": (0, 1)}))
    app = tab("Accuracy")
    text = texts(app).replace("\\", "")
    assert "8 learning rates, 0.0001 to 0.3" in text
    chosen = app.multiselect(key="accuracy_rates").value
    assert len(chosen) <= 4
    assert {0.0001, 0.3} <= set(chosen)
    assert charts(app) == len(chosen)
    app.multiselect(key="accuracy_rates").set_value([0.03])
    assert charts(rerun(app)) == 1
    assert "0.03" in app.query_params["accuracy_rates"]
    app = tab("Overlap")
    assert charts(app) == 2 + 2 * len(app.multiselect(key="overlap_rates").value) + 1
    app = tab("Overview")
    assert "learning rates, 0.0001 to" in texts(app).replace("\\", "")
