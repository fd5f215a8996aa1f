from datetime import UTC, datetime

import duckdb
import streamlit as st
from redis import Redis
from streamlit.testing.v1 import AppTest

from app.state import audience, queries
from app.studies import glance
from data.database.database import Database
from data.queries import studies
from data.settings import settings
from engine.study.spec import Study
from tasks.queue import leases
from tasks.services import recorder
from tasks.studies import launch
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import BEGAN, record
from tests.machine import tiny_study

PAGE = "views/studies.py"


def clicked(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click()
    return rerun(app)


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
    # Its row sums up the rates, and is found by each of them.
    rates = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
    record(database, study.model_copy(update={"name": "Other", "learning_rates": rates}), study_id="two")
    app = open_page(PAGE)
    app.text_input(key="search").input("small iterative")
    assert links(rerun(app)) == ["**Small study**"]
    app.text_input(key="search").input("0.3")
    assert links(rerun(app)) == ["**Other**"]
    app.text_input(key="search").input("transformer")
    assert "No study matches “transformer”. Search looks at" in texts(rerun(app))
    app.button(key="clear").click()
    assert len(links(rerun(app))) == 2
    assert app.text_input(key="search").value == ""


def test_the_address_has_filters_and_order(database: Database, study: Study) -> None:
    record(database, study, study_id="one")
    small = study.model_copy(update={"name": "Alone", "pruners": (), "starts": (), "sparsities": (), "seeds": (7,)})
    record(database, small, lambda index, stage: "failed", study_id="two", error="x")
    record(database, small.model_copy(update={"name": "other", "seeds": (8,)}), study_id="three")
    assert links(open_page(PAGE)) == ["**other**", "**Alone**", "**Small study**"]
    app = open_page(PAGE, order="name", state="done")
    assert links(app) == ["**other**", "**Small study**"]
    assert app.selectbox(key="state").value == "done"
    assert "2 of 3 studies" in texts(app)
    app.selectbox(key="order").select("size")
    assert links(rerun(app)) == ["**Small study**", "**other**"]
    assert app.query_params["order"] == "size"
    app.selectbox(key="state").select("failed")
    app.text_input(key="search").input("small")
    assert "No study matches “small” with these filters" in texts(rerun(app))
    # Nothing is offered where there is no choice.
    assert not [box for box in app.selectbox if box.key in ("dataset", "network", "tag")]


def test_a_row_shows_the_answer_in_miniature_and_the_verdicts(database: Database, study: Study) -> None:
    record(database, study, study_id="one")
    app = open_page(PAGE)
    # The list does not wait for its pictures: they come with the next look, which a browser asks for by itself.
    assert not [item for item in app.get("html") if "in miniature" in item.proto.body]
    _, missing = glance.known(["one"])
    glance.look(missing)
    assert not glance.known(["one"])[1]
    rerun(app)
    (image,) = [item.proto.body for item in app.get("html") if "in miniature" in item.proto.body]
    assert "Accuracy by learning rate in miniature, iterative magnitude, sparsity 90 %" in image
    assert "-badge[" in "".join(item.value for item in app.markdown if " hold]" in item.value)
    # A finished study has no bar.
    assert not app.get("progress")
    training = study.model_copy(update={"name": "Training", "seeds": (7,)})
    record(database, training, lambda index, stage: "done" if index < 3 else "running", study_id="two")
    queries.look_again()
    assert len(rerun(app).get("progress")) == 1
    assert "3 of 26 stages done · 23 running" in texts(app)


def test_names_notes_and_tags_are_changed_in_place(database: Database, redis: Redis) -> None:
    study_id = launch.launch(tiny_study())
    recorder.drain_idle(settings())
    app = clicked(open_page(PAGE), f"edit-{study_id}")
    app.text_input(key="edit_name").input("Renamed")
    app.text_area(key="edit_note").input("for the group")
    app.multiselect(key="edit_tags").set_value(["paper"])
    clicked(app, "edit_save")
    assert links(app) == ["**Renamed**"]
    assert ":violet-badge[paper]" in texts(app)
    assert "for the group" in texts(app)
    assert open_page("views/study.py", study=study_id).title[0].value == "Renamed"
    clicked(app, f"edit-{study_id}")
    app.text_input(key="edit_name").input(" ")
    clicked(app, "edit_save")
    assert "1 to 100 characters" in app.error[0].value
    assert app.text_area(key="edit_note").value == "for the group"
    assert links(clicked(app, "edit_cancel")) == ["**Renamed**"]


def test_several_studies_are_tagged_cancelled_and_deleted_at_once(database: Database, redis: Redis) -> None:
    ids = [launch.launch(tiny_study(name=f"Study {seed}", seeds=[seed])) for seed in range(3)]
    recorder.drain_idle(settings())
    app = open_page(PAGE)
    assert not [button for button in app.button if button.key == "bar_compare"]
    for study_id in ids[:2]:
        app.checkbox(key=f"choose-{study_id}").check()
    assert "**2 studies** chosen" in texts(rerun(app))
    clicked(app, "bar_tag")
    app.multiselect(key="bar_add").set_value(["draft"])
    clicked(rerun(app), "tag_yes")
    assert texts(app).count(":violet-badge[draft]") == 2
    # A filter takes the boxes of other studies away.
    app.selectbox(key="tag").select("draft")
    assert len(links(rerun(app))) == 2
    clicked(clicked(app, "bar_cancel"), "cancel_yes")
    listed = studies.studies(database).set_index("study_id")["state"]
    assert [listed[study_id] for study_id in ids] == ["cancelled", "cancelled", "queued"]
    clicked(clicked(app, "bar_delete"), "delete_yes")
    app.switch_page(PAGE)
    assert links(rerun(app)) == ["**Study 2**"]
    assert "Moved 2 studies to the Trash." in texts(app)
    assert sorted(studies.trash(database)["study_id"]) == sorted(ids[:2])
    trash = open_page(PAGE, show="trash")
    clicked(clicked(trash, "trash_empty"), "delete_yes")
    assert studies.trash(database).empty
    assert leases.studies(redis) == ids[2:]


def test_a_long_list_is_shown_in_pieces(database: Database, study: Study) -> None:
    small = study.model_copy(update={"pruners": (), "starts": (), "sparsities": (), "seeds": (0,)})
    for number in range(22):
        record(
            database, small.model_copy(update={"name": f"Study {number}"}), study_id=f"study-{number:02}", began=BEGAN
        )
    app = open_page(PAGE)
    assert len(links(app)) == 20
    assert app.button(key="more").label == "Show 2 more of 22"
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
