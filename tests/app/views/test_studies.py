from datetime import UTC, datetime

import duckdb
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.state import audience
from data.database.database import Database
from data.settings import settings
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import BEGAN, record

PAGE = "views/studies.py"


def links(app: AppTest) -> list[str]:
    return [link.label for link in app.get("page_link")]


def test_without_a_database_the_page_says_what_to_do_and_creates_none() -> None:
    app = open_page(PAGE)
    assert "No study yet" in texts(app)
    assert "make up" in texts(app)
    assert {button.key for button in app.button} >= {"to_demo", "to_new", "new_study"}
    assert not settings().database.exists()


def test_the_first_study_appears_by_itself(database: Database, study: Study) -> None:
    app = open_page(PAGE)
    assert not links(app)
    record(database, study)
    st.cache_data.clear()
    assert links(rerun(app)) == ["**Small study**"]


def test_with_an_empty_database_the_page_says_what_to_do(database: Database) -> None:
    del database
    assert "No study yet" in texts(open_page(PAGE))


def test_every_study_is_listed_with_state_progress_comparison_and_date(database: Database, study: Study) -> None:
    record(database, study, study_id="one")
    other = study.model_copy(update={"name": "Other [odd] name", "learning_rates": (0.3,), "seeds": (7,)})
    states = ["done", "failed"]
    record(database, other, lambda i, s: states[i] if i < 2 else "waiting", "two", began=datetime.now(UTC))
    app = open_page(PAGE)
    assert [label.replace("\\", "") for label in links(app)] == ["**Other [odd] name**", "**Small study**"]
    text = texts(app)
    assert ":green-badge[done]" in text
    assert "78 of 78 stages done · launched" in text
    assert "1 of 13 stages done · 1 failed · launched just now" in text
    compared = "Digits · LeNet-300 · learning rates 0.01, 0.1 · iterative magnitude and one-shot magnitude"
    assert compared in text.replace("\\", "")


def test_search_looks_at_names_and_compared_values(database: Database, study: Study) -> None:
    record(database, study, study_id="one")
    record(database, study.model_copy(update={"name": "Other", "learning_rates": (0.3,)}), study_id="two")
    app = open_page(PAGE)
    app.text_input(key="search").input("small iterative")
    assert links(rerun(app)) == ["**Small study**"]
    app.text_input(key="search").input("0.3")
    assert links(rerun(app)) == ["**Other**"]
    app.text_input(key="search").input("transformer")
    assert "No study matches “transformer”" in texts(rerun(app))


def test_a_long_list_is_shown_in_pieces(database: Database, study: Study) -> None:
    small = study.model_copy(update={"pruners": (), "starts": (), "sparsities": (), "seeds": (0,)})
    for number in range(22):
        record(
            database, small.model_copy(update={"name": f"Study {number}"}), study_id=f"study-{number:02}", began=BEGAN
        )
    app = open_page(PAGE)
    assert len(links(app)) == 20
    assert app.button(key="more").label == "Show 2 more"
    app.button(key="more").click()
    assert len(links(rerun(app))) == 22


def test_a_file_that_is_no_database_is_explained(database: Database) -> None:
    database.path.write_bytes(b"not a database" * 1000)
    app = open_page(PAGE)
    assert "cannot open the database" in app.error[0].value


def test_a_database_of_a_newer_version_is_explained(database: Database, study: Study) -> None:
    record(database, study)
    with duckdb.connect(str(database.path)) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'version'")
    audience._database.cache_clear()
    for page in (PAGE, "views/study.py", "views/compare.py"):
        (error,) = open_page(page, study="made-study-0001").error
        assert "has version 999, this Ticketscope knows versions up to" in error.value
        assert "update Ticketscope" in error.value
