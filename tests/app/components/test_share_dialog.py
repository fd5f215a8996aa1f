from pathlib import Path

import pytest
import streamlit as st

from app.auth.access import may_see
from data import shared_links
from data.database.database import Database
from engine.study.spec import Study
from tests.app.dashboard import MAIN, open_page, rerun, texts
from tests.app.made_study import record

STUDY, OTHER = "made-study-0001", "made-study-0002"
VIEWS = sorted(path.name for path in (MAIN.parent / "views").glob("*.py") if path.name != "shared.py")


@pytest.fixture
def shared(database: Database, study: Study) -> str:
    """The token of a link to the first of two studies."""
    record(database, study, study_id=STUDY)
    record(database, study.model_copy(update={"name": "Secret study"}), study_id=OTHER)
    return shared_links.create(database, [STUDY], note="for Ada")[1]


def test_a_viewer_sees_the_study_without_buttons_that_change_it(shared: str) -> None:
    app = open_page("views/shared.py", share=shared)
    assert "Small study" in texts(app)
    assert "for Ada" in texts(app)
    assert not {"share", "study_copy", "study_compare", "cancel", "retry"} & {button.key for button in app.button}
    for tab in ("Accuracy", "Overlap", "Verdicts"):
        app.session_state["tab"] = tab
        rerun(app)
        assert not app.error
    assert "Secret" not in texts(app)


@pytest.mark.parametrize("view", VIEWS)
def test_every_other_page_is_closed_to_a_viewer_even_without_the_token(shared: str, view: str) -> None:
    app = open_page("views/shared.py", share=shared)
    app.switch_page(f"views/{view}")
    app.query_params.clear()
    app.query_params["study"] = OTHER
    rerun(app)
    assert [title.value for title in app.title] == ["Not part of this link"]
    assert not app.button
    assert "Secret" not in texts(app)


@pytest.mark.parametrize("token", ["", "garbage", "' OR 1=1", "../../etc/passwd"])
def test_an_invalid_token_never_makes_an_owner(shared: str, token: str) -> None:
    app = open_page("views/studies.py", share=token)
    assert [title.value for title in app.title] == ["Not part of this link"]
    app.switch_page("views/shared.py")
    app.query_params.clear()
    rerun(app)
    assert [title.value for title in app.title] == ["This link shows nothing"]
    app.switch_page("views/new_study.py")
    rerun(app)
    assert [title.value for title in app.title] == ["Not part of this link"]


def test_a_revoked_link_looks_like_one_that_never_existed(database: Database, shared: str) -> None:
    app = open_page("views/shared.py", share=shared)
    shared_links.revoke(database, str(shared_links.shares(database).iloc[0]["share_id"]))
    st.cache_data.clear()
    rerun(app)
    revoked = texts(app)
    assert "This link shows nothing" in revoked
    assert texts(open_page("views/shared.py", share="never-was")) == revoked


def test_an_open_page_closes_when_its_link_is_revoked(database: Database, shared: str) -> None:
    viewer = open_page("views/shared.py", share=shared)
    links = open_page("views/links.py")
    assert "for Ada" in texts(links)
    assert shared not in texts(links)
    links.button(key=f"revoke-{shared_links.shares(database).iloc[0]['share_id']}").click()
    rerun(links)
    assert "revoked" in texts(links)
    st.cache_data.clear()
    rerun(viewer)
    assert "This link shows nothing" in texts(viewer)


def test_a_shared_view_shows_its_studies_alone(database: Database, shared: str) -> None:
    _, token = shared_links.create(database, [STUDY], state=f"s={STUDY},{OTHER}")
    app = open_page("views/shared.py", share=token)
    assert "Secret" not in texts(app)
    assert not app.error


def test_a_visitor_without_a_link_may_see_no_study(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del shared
    monkeypatch.setattr("app.auth.access.is_owner", lambda: False)
    assert not may_see(STUDY)


def test_every_page_requires_an_owner() -> None:
    for path in (MAIN.parent / "views").glob("*.py"):
        assert "access.require_owner()" in Path(path).read_text(), path


def test_links_are_searched(database: Database, shared: str) -> None:
    shared_links.create(database, [OTHER], note="for Bob")
    app = open_page("views/links.py")
    app.text_input(key="links_search").input("Bob")
    rerun(app)
    assert "for Bob" in texts(app)
    assert "for Ada" not in texts(app)
    app.text_input(key="links_search").input("nobody at all")
    rerun(app)
    assert "No link matches" in app.info[0].value
