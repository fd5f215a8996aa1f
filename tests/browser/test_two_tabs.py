"""Two tabs of one owner: each learns what the other did, in words of the page, and a reload keeps what was typed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import ready
from tests.browser.conftest import Watched, finished_home, watching
from tests.browser.serving import DASHBOARD, served
from tests.browser.test_dashboard import LONG, TINY, fill_in, launch
from tests.machine import free_port, wait_for

pytestmark = pytest.mark.browser


@pytest.fixture
def other(watched: Watched) -> Iterator[Page]:
    """Another tab of the same browser."""
    page = watched.page.context.new_page()
    yield page
    page.close()


@pytest.mark.usefixtures("stopping")
def test_a_deleted_study_is_called_so_in_the_other_tab(watched: Watched, other: Page) -> None:
    page = watched.page
    watched.open("/new_study")
    fill_in(watched, LONG.replace("Long", "Short-lived"))
    launch(watched)
    # The dialog of this tab was open before the other deletes the study.
    other.goto(page.url)
    ready(other)
    expect(other.locator(".st-key-study_head")).to_be_visible()
    page.locator(".st-key-cancel button").click()
    expect(page.locator(".st-key-cancel_yes")).to_be_visible()
    other.locator(".st-key-delete button").click()
    other.locator(".st-key-delete_yes button").click()
    expect(other.get_by_role("link", name="Short-lived study")).to_have_count(0)
    page.locator(".st-key-cancel_yes button").click()
    expect(page.get_by_role("dialog")).to_contain_text("This study is in the Trash")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="In the Trash")).to_be_visible()
    expect(page.get_by_role("button", name="Bring it back")).to_be_visible()
    expect(page.get_by_text("ticketscope status")).to_have_count(0)
    page.get_by_role("link", name="All studies").click()
    expect(page.get_by_role("link", name="Finished before")).to_be_visible()


def test_an_equal_study_is_asked_about_in_the_other_tab(watched: Watched, other: Page, dashboard: str) -> None:
    second = Watched(other, dashboard)
    for tab in (watched, second):
        tab.open("/new_study")
        fill_in(tab, TINY.replace("Tiny", "Twice").replace("epochs = 20", "epochs = 1"))
    launch(watched)
    other.locator(".st-key-launch button").click()
    expect(other.locator(".st-key-launched_before")).to_contain_text(
        re.compile(r"An equal study was launched \d+ seconds? ago")
    )
    other.locator(".st-key-launched_before_open button").click()
    other.wait_for_url("**/study?study=*")
    assert other.url == watched.page.url


def test_a_reload_and_a_restart_keep_what_was_typed(browser: Browser, tmp_path: Path) -> None:
    home, port = finished_home(tmp_path), free_port()
    with watching(browser, f"http://localhost:{port}") as tab:
        page = tab.page
        name = page.get_by_role("textbox", name="Name", exact=True)
        note = page.get_by_role("textbox", name="Note", exact=True)
        rates = page.get_by_role("textbox", name="Learning rates")
        with served(*DASHBOARD, home=home, port=port):
            tab.open("/new_study")
            # The reader never leaves the fields: what is typed counts after a pause.
            name.fill("Typed by hand")
            page.wait_for_url("**/new_study?draft=*")
            rates.fill("0.02, nonsense")
            expect(page.locator(".st-key-error-learning_rates")).to_contain_text("nonsense")
            note.fill("Half a note")
            drafts = home / "drafts"
            wait_for(lambda: any("Half a note" in draft.read_text() for draft in drafts.glob("*.json")))
            page.reload()
            tab.ready()
            expect(name).to_have_value("Typed by hand")
            expect(rates).to_have_value("0.02, nonsense")
            expect(note).to_have_value("Half a note")
            expect(page.locator(".st-key-error-learning_rates")).to_contain_text("nonsense")
            # Other pages leave the draft as it is.
            page.get_by_role("link", name="Glossary").click()
            tab.ready()
            page.get_by_role("link", name="New study").click()
            tab.ready()
            expect(name).to_have_value("Typed by hand")
            address = page.url
            # An open page would note that its connection ends with the dashboard.
            page.goto("about:blank")
        with served(*DASHBOARD, home=home, port=port):
            page.goto(address)
            tab.ready()
            expect(name).to_have_value("Typed by hand")
            page.goto("about:blank")
