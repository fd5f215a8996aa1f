"""Deletion on a study's page: the dialog lists its effects, and the list of studies confirms it."""

import streamlit as st
from redis import Redis
from streamlit.testing.v1 import AppTest

from app.state import queries
from data import saved_views, shared_links
from data.database.database import Database
from data.queries import studies
from data.settings import settings
from engine.study.spec import Study
from tasks.queue import leases
from tasks.services import recorder
from tasks.studies import delete, launch
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record
from tests.machine import tiny_study, wait_for

PAGE = "views/study.py"


def clicked(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click()
    return rerun(app)


def test_a_study_moves_to_the_trash_after_confirmation_and_comes_back(database: Database, redis: Redis) -> None:
    deleted, other = launch.launch(tiny_study(pruners=["oneshot"])), launch.launch(tiny_study(pruners=["iterative"]))
    recorder.drain_idle(settings())
    _, token = shared_links.create(database, [deleted])
    app = clicked(open_page(PAGE, study=deleted), "delete")
    text = texts(app)
    assert "The Trash can bring it back, with all results, for 30 days. Then it is deleted for good." in text
    assert "1 link will not show it meanwhile" in text
    assert list(studies.studies(database)["study_id"]) == [other, deleted]
    # The dialog stays open when the page is redrawn, for example because the study's state has changed.
    clicked(rerun(app), "delete_yes")
    # AppTest does not follow a switch to another page, but its session continues there.
    app.switch_page("views/studies.py")
    assert [link.label for link in rerun(app).get("page_link")] == ["**Tiny**"]
    assert "Moved “Tiny” to the Trash." in texts(app)
    assert "This link shows nothing" in texts(open_page("views/shared.py", share=token))
    assert open_page(PAGE, study=deleted).title[0].value == "In the Trash"
    assert deleted not in open_page("views/compare.py").multiselect(key="compare_studies").options
    clicked(app, "undo")
    assert len(app.get("page_link")) == 2
    assert "Tiny" in texts(open_page("views/shared.py", share=token))
    # Again, from the Trash and by the study's own address.
    delete.trash(settings(), deleted)
    recorder.drain_idle(settings())
    queries.look_again()
    trash = open_page("views/studies.py", show="trash")
    assert "deleted just now · for good in 30 days" in texts(trash)
    clicked(open_page(PAGE, study=deleted), "bring_back")
    assert "The Trash is empty" in texts(rerun(trash))


def test_a_study_is_deleted_for_good_where_that_is_chosen(database: Database, redis: Redis) -> None:
    deleted, other = launch.launch(tiny_study(pruners=["oneshot"])), launch.launch(tiny_study(pruners=["iterative"]))
    recorder.drain_idle(settings())
    shared_links.create(database, [deleted])
    app = clicked(open_page(PAGE, study=deleted), "delete")
    app.checkbox(key="delete_for_good").check()
    text = texts(rerun(app))
    assert "This cannot be undone" in text
    assert "2 stages that no other study has" in text
    assert "3 stages that other studies have too will remain" in text
    assert "1 link to it alone will end" in text
    assert leases.studies(redis) == sorted((deleted, other))
    clicked(app, "delete_yes")
    assert leases.studies(redis) == [other]
    app.switch_page("views/studies.py")
    rerun(app)
    assert "Deleted “Tiny” for good." in texts(app)
    assert not [button for button in app.button if button.key == "undo"]
    assert list(studies.studies(database)["study_id"]) == [other]


def test_without_redis_the_dialog_explains_why_nothing_can_be_deleted(database: Database, study: Study) -> None:
    record(database, study)
    app = open_page(PAGE, study="made-study-0001")
    app.button(key="delete").click()
    rerun(app)
    assert "Redis is not running" in "\n".join(error.value for error in app.error)
    assert not [button for button in app.button if button.key == "delete_yes"]


def test_the_page_of_a_study_that_the_queue_lost_says_what_to_do(database: Database, redis: Redis) -> None:
    study_id = launch.launch(tiny_study())
    recorder.drain_idle(settings())
    assert "rebuild" not in texts(open_page(PAGE, study=study_id))
    redis.flushall()
    st.cache_data.clear()
    assert "ticketscope rebuild" in texts(open_page(PAGE, study=study_id))
    del database


def test_views_and_comparisons_leave_out_a_deleted_study(database: Database, study: Study, redis: Redis) -> None:
    record(database, study, study_id="one-of-two")
    record(database, study.model_copy(update={"name": "Other"}), study_id="two-of-two")
    saved_views.save(database, "Both", "s=one-of-two~two-of-two")
    _, token = shared_links.create(database, ["one-of-two", "two-of-two"], "s=one-of-two~two-of-two")
    leases.forget(redis, "one-of-two", "2026-01-01T00:00:00+00:00")
    recorder.drain_idle(settings())
    app = open_page("views/compare.py", s="one-of-two~two-of-two")
    assert app.multiselect(key="compare_studies").value == ["two-of-two"]
    shared = open_page("views/shared.py", share=token)
    assert "This link shows nothing" not in texts(shared)
    assert "Small study" not in texts(shared)


def test_what_another_tab_deleted_or_cancelled_is_told_in_words_of_the_page(database: Database, redis: Redis) -> None:
    study_id = launch.launch(tiny_study())
    recorder.drain_idle(settings())
    tabs = {key: open_page(PAGE, study=study_id) for key in ("cancel", "delete", "share")}
    for key, app in tabs.items():
        app.button(key=key).click()
        rerun(app)
    launch.cancel(study_id)
    tabs["cancel"].button(key="cancel_yes").click()
    assert "was cancelled already, perhaps in another tab" in texts(rerun(tabs["cancel"]))
    delete.delete(settings(), study_id)
    recorder.drain_idle(settings())
    for key in ("cancel_yes", "delete_yes"):
        app = tabs[key.partition("_")[0]]
        app.button(key=key).click()
        assert "This study was deleted, perhaps in another tab" in texts(rerun(app)), key
    # Pages look at the database file at most once a second.
    opened = open_page(PAGE, study=study_id)
    wait_for(lambda: "This study was deleted, perhaps in another tab" in texts(rerun(opened)))
    for app in (*tabs.values(), opened):
        text = texts(rerun(app))
        assert "This study was deleted, perhaps in another tab" in text
        assert "ticketscope" not in text
        assert "All studies" in [link.label for link in app.get("page_link")]
    assert "This study was deleted" in open_page("views/new_study.py", copy=study_id).error[0].value
    assert "is recorded here" in texts(open_page(PAGE, study="never-known"))


def test_a_study_whose_name_cannot_be_seen_has_a_link_with_its_id(database: Database, study: Study) -> None:
    for number, name in enumerate(("   ", "\u200b", "\u3164")):
        # An older version recorded it.
        record(database, study.model_copy(update={"name": name, "seeds": (number,)}), study_id=f"blank-{number}")
    app = open_page("views/studies.py")
    assert {link.label for link in app.get("page_link")} == {f"**study blank\\-{number}**" for number in range(3)}
    page = open_page(PAGE, study="blank-1")
    assert page.title[0].value == "study blank\\-1"
    assert "study blank-2" in open_page("views/compare.py").multiselect(key="compare_studies").options
