"""What the tab of a browser shows of a page, and what happens when a study ends."""

import json
from pathlib import Path

import pytest
import streamlit as st

from app.state import attention
from data import shared_links
from data.database.database import Database
from data.queries import studies
from data.shared_links import Anonymous
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun
from tests.app.made_study import record

PAGE, ID = "views/study.py", "made-study-0001"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The title and icon of the browser's tab, as a page sets them last."""
    last: dict[str, str] = {}
    real = st.set_page_config

    def record_and_set(**options: str | None) -> None:
        last.update({name: value for name, value in options.items() if isinstance(value, str)})
        real(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(st, "set_page_config", record_and_set)
    return last


def half(index: int, stage: object) -> str:
    del stage
    return "done" if index < 39 else "running"


def test_a_tab_names_the_study_and_how_far_it_is(database: Database, study: Study, shown: dict[str, str]) -> None:
    record(database, study, half)
    open_page(PAGE, study=ID)
    percent, name = shown["page_title"].split(" % · ")
    assert name == "Small study"
    assert 50 <= int(percent) <= 99
    assert Path(shown["page_icon"]).name == "icon-running.svg"


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_tab_names_the_state_of_a_finished_study(
    database: Database, study: Study, shown: dict[str, str], state: str
) -> None:
    record(database, study, lambda index, stage: state if index == 77 else "done")
    open_page(PAGE, study=ID)
    assert shown["page_title"] == f"Small study · {state}"
    assert Path(shown["page_icon"]).name == f"icon-{state}.svg"


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("views/studies.py", "Studies · Ticketscope"),
        ("views/workers.py", "Workers · Ticketscope"),
        ("views/study.py", "No such study · Ticketscope"),
        ("views/shared.py", "Shared · Ticketscope"),
    ],
)
def test_other_pages_have_titles_of_their_own(shown: dict[str, str], page: str, title: str) -> None:
    open_page(page)
    assert shown["page_title"] == title
    assert Path(shown["page_icon"]).name == "icon.svg"


def test_every_run_says_the_icon_before_the_menu_does(
    database: Database, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(database, study)
    first: list[str] = []
    real, navigation = st.set_page_config, st.navigation
    monkeypatch.setattr(st, "set_page_config", lambda **o: (first.append(o.get("page_icon") or ""), real(**o)))
    monkeypatch.setattr(st, "navigation", lambda *p, **o: (first.append("menu"), navigation(*p, **o))[1])
    app = open_page(PAGE, study=ID)
    rerun(app)
    icons = [Path(icon).name for icon in first if icon]
    # The second run repeats the icon that the first one ended with, since a run may be interrupted.
    assert icons == ["icon.svg", "menu", "icon-done.svg", "icon-done.svg", "menu"]


def test_an_anonymous_link_names_the_tab_by_its_title(database: Database, study: Study, shown: dict[str, str]) -> None:
    record(database, study)
    token = shared_links.create(database, [ID], anonymous=Anonymous("Submission 12"))[1]
    open_page("views/shared.py", share=token)
    assert shown["page_title"] == "Submission 12 · done"


def test_every_icon_is_a_file() -> None:
    assert all(Path(icon).is_file() for icon in (attention.ICON, *attention._ICONS.values()))


@pytest.mark.parametrize("notify", [False, True])
def test_a_study_that_ends_while_its_page_is_open_says_so(
    database: Database, study: Study, shown: dict[str, str], notify: bool
) -> None:
    record(database, study, lambda index, stage: "running" if index == 70 else "done")
    app = open_page(PAGE, study=ID, **({"notify": "true"} if notify else {}))
    assert app.toggle(key="notify").value is notify
    assert not app.toast
    with database.writing() as connection:
        connection.execute("UPDATE states SET state = 'done', finished_at = now() WHERE state = 'running'")
    st.cache_data.clear()
    st.cache_resource.clear()
    app = rerun(app)
    assert [toast.value for toast in app.toast] == ["**Small study** is done."]
    assert shown["page_title"] == "Small study · done"
    assert not [toggle for toggle in app.toggle if toggle.key == "notify"]
    assert any("new Notification" in item.proto.body for item in app.get("html")) is notify
    # Once is enough, and a finished study offers no notification.
    assert not rerun(app).toast
    assert "notify" not in app.query_params


def test_a_study_that_was_finished_before_says_nothing(database: Database, study: Study) -> None:
    record(database, study)
    assert not open_page(PAGE, study=ID).toast


def test_a_name_cannot_end_the_script_of_a_notification() -> None:
    name = '</script><img src=x onerror="alert(1)">\u2028'
    code = attention.notification(name, ID)
    assert "<" not in code.replace("=>", "")
    literal = code.split("new Notification(", 1)[1].split(", {tag")[0]
    assert json.loads(literal) == name


def test_every_end_of_a_study_has_a_sentence(database: Database, study: Study) -> None:
    record(database, study)
    assert studies.study(database, ID).state in attention._SENTENCES
    assert set(attention.FINISHED) == set(attention._SENTENCES) == set(attention._TOASTS)
