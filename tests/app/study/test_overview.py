"""The Overview tab gives the answer in a sentence per learning rate, and comes first unless the study trains."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from data.database.database import Database
from engine.study.plan import Stage
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record
from tests.machine import wait_for

PAGE, ID = "views/study.py", "made-study-0001"


def tabs(app: AppTest) -> list[str]:
    return [tab.label for tab in app.tabs]


def test_a_finished_study_opens_with_its_answer(database: Database, study: Study) -> None:
    record(database, study)
    app = open_page(PAGE, study=ID)
    assert tabs(app)[0] == "Overview"
    text = texts(app)
    for rate in study.learning_rates:
        assert f"**At learning rate {rate:g}**" in text.replace("\\", "")
    assert "random reinit" in text
    # Accuracy, overlap and gap by learning rate, and gap against overlap.
    assert len(app.get("vega_lite_chart")) == 4


def test_a_study_in_training_opens_with_its_progress(database: Database, study: Study) -> None:
    record(database, study, lambda index, stage: "done" if index < 4 else "queued")
    app = open_page(PAGE, study=ID)
    assert tabs(app)[:2] == ["Progress", "Overview"]
    app.session_state["tab"] = "Overview"
    rerun(app)
    assert not app.exception


def test_the_verdicts_that_lack_runs_are_as_many_as_are_counted(database: Database, study: Study) -> None:
    # Of the ticket's claims at both rates, those at the low one have no runs.
    def state(index: int, stage: Stage) -> str:
        return "queued" if stage.learning_rate < 0.1 and stage.start == "winning_ticket" else "done"

    record(database, study, state)
    app = open_page(PAGE, study=ID)
    app.session_state["tab"] = "Overview"
    text = texts(rerun(app))
    counted = int(re.search(r"(\d+) lacks? runs", text)[1])
    assert counted > 1
    assert f"Runs are missing for {counted} verdicts" in text


@pytest.mark.parametrize("done", [0, 1])
def test_the_answer_of_a_study_without_pruned_networks_says_what_is_missing(
    database: Database, study: Study, done: int
) -> None:
    record(database, study, lambda index, stage: "done" if index < done else "cancelled")
    app = open_page(PAGE, study=ID)
    app.session_state["tab"] = "Overview"
    text = texts(rerun(app))
    assert ("No pruned network has finished yet" if done else "No training has finished yet") in text
    assert not app.get("vega_lite_chart")


def test_one_learning_rate_needs_no_sweep(database: Database, study: Study) -> None:
    record(database, study.model_copy(update={"learning_rates": (0.01,)}))
    app = open_page(PAGE, study=ID)
    assert "By learning rate" not in [heading.value for heading in app.header]
    # Gap against overlap remains.
    assert len(app.get("vega_lite_chart")) == 1


def test_the_order_of_tabs_stays_when_the_study_ends_while_it_is_looked_at(database: Database, study: Study) -> None:
    record(database, study, lambda index, stage: "done" if index else "running")
    app = open_page(PAGE, study=ID)
    before = tabs(app)
    assert before[0] == "Progress"
    with database.writing() as connection:
        connection.execute("UPDATE states SET state = 'done' WHERE state = 'running'")
    # Pages look at the database file at most once a second.
    wait_for(lambda: "done" in next(part.value for part in rerun(app).markdown if "badge" in part.value))
    assert tabs(app) == before
    assert tabs(open_page(PAGE, study=ID))[0] == "Overview"
