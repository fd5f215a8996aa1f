"""The address of a study's page holds its tab and choices; what it holds in error is ignored."""

import random
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.state import address
from data import shared_links
from data.database.database import Database
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record
from tests.machine import folder_of_images

PAGE, ID = "views/study.py", "made-study-0001"
# A value for each kind of choice, on the tab that has it, that is not the default.
CHOICES = {
    "accuracy": {
        "accuracy_measure": "best_test_accuracy",
        "accuracy_spread": "range",
        "accuracy_quantity": "below_dense",
        "accuracy_axis": "each",
        "accuracy_spacing": "even",
    },
    "overlap": {"overlap_p": "0.5", "overlap_time_axis": "log", "overlap_across": "learning_rate"},
    "verdicts": {"threshold-confidence": "0.9", "threshold-seeds": "4"},
    "progress": {"curves_which": "chosen", "stages_search": "rewind 90 %", "stages_states": "done"},
    "overview": {"overview_pruner": "oneshot", "overview_sparsity": "0.5"},
}


def opened(**query: str) -> AppTest:
    return open_page(PAGE, study=ID, **query)


@pytest.mark.parametrize("tab", CHOICES)
def test_an_address_opens_its_tab_and_choices_and_stays_as_it_is(database: Database, study: Study, tab: str) -> None:
    record(database, study)
    app = opened(tab=tab, **CHOICES[tab])
    assert app.session_state["tab"].lower() == tab
    # The page writes what its widgets have, so a choice that did not reach its widget would be gone.
    assert app.query_params == {"study": ID, "tab": tab, **CHOICES[tab]}
    # A second run, such as a refresh, changes nothing.
    assert rerun(app).query_params == {"study": ID, "tab": tab, **CHOICES[tab]}


def test_a_choice_is_written_and_its_default_is_not(database: Database, study: Study) -> None:
    record(database, study)
    app = opened(tab="accuracy")
    assert app.query_params == {"study": ID, "tab": "accuracy"}
    app.selectbox(key="accuracy_spread").select("range")
    assert rerun(app).query_params == {"study": ID, "tab": "accuracy", "accuracy_spread": "range"}
    app.selectbox(key="accuracy_spread").select("sd")
    assert rerun(app).query_params == {"study": ID, "tab": "accuracy"}


def test_the_choices_of_a_closed_tab_stay_in_the_address(database: Database, study: Study) -> None:
    record(database, study)
    app = opened(tab="accuracy", accuracy_spread="range", overlap_p="0.5")
    app.session_state["tab"] = "Overlap"
    app = rerun(app)
    assert app.select_slider(key="overlap_p").value == 0.5
    assert app.query_params == {"study": ID, "tab": "overlap", "accuracy_spread": "range", "overlap_p": "0.5"}
    app.session_state["tab"] = "Overview"
    # A tab that was chosen is written although it is the first, which it may not be for another reader.
    assert rerun(app).query_params["tab"] == "overview"


def test_an_open_tab_stays_open_when_the_study_ends(database: Database, study: Study) -> None:
    record(database, study, lambda index, stage: "running" if index == 70 else "done")
    app = opened(tab="accuracy", accuracy_spread="range")
    assert app.tabs[0].label == "Progress"
    with database.writing() as connection:
        connection.execute("UPDATE states SET state = 'failed' WHERE state = 'running'")
    app = rerun(open_again(app))
    assert app.tabs[0].label == "Progress"
    assert app.session_state["tab"] == "Accuracy"
    assert app.query_params == {"study": ID, "tab": "accuracy", "accuracy_spread": "range"}


def open_again(app: AppTest) -> AppTest:
    """Empty the caches, which notice a change of the database within a second."""
    st.cache_data.clear()
    st.cache_resource.clear()
    return app


def test_a_viewer_opens_the_same_view_and_the_token_stays(database: Database, study: Study) -> None:
    record(database, study)
    token = shared_links.create(database, [ID])[1]
    app = open_page("views/shared.py", share=token, tab="accuracy", **CHOICES["accuracy"])
    assert app.session_state["tab"] == "Accuracy"
    assert app.query_params == {"share": token, "tab": "accuracy", **CHOICES["accuracy"]}
    app.selectbox(key="accuracy_spread").select("sd")
    assert rerun(app).query_params["share"] == token


def test_an_address_names_a_folder_without_its_path(database: Database, study: Study, tmp_path: Path) -> None:
    folders = [folder_of_images(tmp_path / owner / "cats") for owner in ("ada", "bob")]
    record(database, study.model_copy(update={"datasets": tuple(f"folder:{folder}" for folder in folders)}))
    app = opened(tab="accuracy")
    app.selectbox(key="accuracy_dataset").select_index(1)
    assert rerun(app).query_params == {"study": ID, "tab": "accuracy", "accuracy_dataset": "folder cats 2"}
    token = shared_links.create(database, [ID])[1]
    viewer = open_page("views/shared.py", share=token, tab="accuracy", accuracy_dataset="folder cats 2")
    assert viewer.selectbox(key="accuracy_dataset").value.endswith("cats 2")


def test_another_study_begins_with_defaults(database: Database, study: Study) -> None:
    record(database, study)
    record(database, study.model_copy(update={"name": "Other"}), study_id="made-study-0002")
    app = opened(tab="accuracy", accuracy_spread="range")
    app.query_params.clear()
    app.query_params["study"] = "made-study-0002"
    app = rerun(app)
    assert app.session_state["tab"] == "Overview"
    app.session_state["tab"] = "Accuracy"
    assert rerun(app).selectbox(key="accuracy_spread").value == "sd"


VALUES = (
    "", " ", "~", "~~~", "0", "-1", "nan", "inf", "1e999", "9" * 400, "x" * 10_000, "\0", "\ud7ff", "true", "None",
    "[]", "<script>alert(1)</script>", "'; DROP TABLE studies; --", "{{7*7}}", "__class__", "${jndi}",
    "../../etc/passwd", "%", "%00", "accuracy", "Accuracy", "0.5~0.9", "é" * 50,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tab", CHOICES)
def test_what_an_address_holds_in_error_is_ignored(database: Database, study: Study, tab: str, seed: int) -> None:
    record(database, study)
    draw = random.Random(f"{tab} {seed}")
    query = {name: draw.choice(VALUES) for name in (*CHOICES[tab], "notify", "nonsense", "curves_chosen")}
    for valid in draw.sample(list(CHOICES[tab]), 1):
        query[valid] = CHOICES[tab][valid]
    app = opened(tab=tab, **query)
    # A page with an error of its own would fail in `rerun`; values in error are gone, and the valid one works.
    assert app.query_params[valid] == CHOICES[tab][valid]
    assert "<script" not in texts(app)
    assert not app.exception


@pytest.mark.parametrize("text", VALUES)
def test_a_tab_that_does_not_exist_is_ignored(database: Database, study: Study, text: str) -> None:
    record(database, study)
    app = opened(tab=text)
    assert app.session_state["tab"] == ("Accuracy" if text == "accuracy" else "Overview")
    assert app.query_params.get("tab") in (None, "accuracy")


def test_values_of_addresses_are_short_and_need_few_escapes() -> None:
    query = {
        "study": ID,
        "tab": "accuracy",
        **CHOICES["accuracy"],
        **CHOICES["overlap"],
        "stages_states": "done~failed",
    }
    assert parse_qs(urlencode(query)) == {name: [value] for name, value in query.items()}
    assert "%" not in urlencode(query)
    assert address.LONGEST < 1000
