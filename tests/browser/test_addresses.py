"""In a real browser: addresses restore tabs and choices, back and forward go through them, and tabs have titles."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from data import shared_links
from data.database.database import Database
from data.database.events import Event
from engine.study.plan import plan
from engine.study.spec import parse_study
from tests.app.made_study import record
from tests.browser.chromium import open_tab, ready
from tests.browser.conftest import FINISHED, Watched, finished_home, watching
from tests.browser.serving import DASHBOARD, served

STUDY = "/study?study=finished-before"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished study, and one whose last stage is in training."""
    home = finished_home(tmp_path_factory.mktemp("addresses"))
    # With other seeds, it shares no training with the finished one.
    study = parse_study({**FINISHED, "name": "Three rates", "learning_rates": [0.01, 0.05, 0.1], "seeds": [2, 3]})
    last = len(plan(study, {"digits": ""}).stages) - 1
    database = Database(home / "ticketscope.duckdb")
    record(database, study, lambda index, _: "running" if index == last else "done", "three-rates")
    return home


@pytest.fixture(scope="module")
def served_home(home: Path) -> Iterator[str]:
    """The address of a dashboard of that home."""
    with served(*DASHBOARD, home=home) as address:
        yield address


@pytest.fixture
def opened(browser: Browser, served_home: str) -> Iterator[Watched]:
    """A browser page of that dashboard."""
    with watching(browser, served_home) as page:
        yield page


def end(database: Database) -> None:
    """Record, as the recorder would, that the last stage in training is done."""
    with database.reading() as connection:
        [(stage,)] = connection.execute("SELECT fingerprint FROM states WHERE state = 'running'").fetchall()
    at = datetime.now(UTC).isoformat()
    body = {"fingerprint": stage, "attempt": 1, "at": at, "state": "done"}
    database.record([Event(f"{int(time.time() * 1000)}-0", "stage", body)])


def selected(page: Page) -> str:
    return page.locator("[role=tab][aria-selected=true]").inner_text()


def test_back_and_forward_go_through_tabs_and_choices(opened: Watched) -> None:
    page = opened.page
    opened.open("/")
    page.get_by_role("link", name="Finished before").click()
    expect(page).to_have_url(opened.address + STUDY)
    ready(page)
    open_tab(page, "Accuracy")
    page.get_by_role("radio", name="all points").click()
    expect(page).to_have_url(f"{opened.address}{STUDY}&tab=accuracy&accuracy_axis=same")
    ready(page)
    open_tab(page, "Overlap")
    expect(page).to_have_url(f"{opened.address}{STUDY}&tab=overlap&accuracy_axis=same")
    page.go_back()
    expect(page.get_by_role("tab", name="Accuracy")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("radio", name="all points")).to_be_checked()
    page.go_back()
    expect(page.get_by_role("radio", name="where starts lie together")).to_be_checked()
    expect(page).to_have_url(f"{opened.address}{STUDY}&tab=accuracy")
    ready(page)
    page.go_back()
    expect(page.get_by_role("tab", name="Overview")).to_have_attribute("aria-selected", "true")
    ready(page)
    page.go_back()
    expect(page).to_have_title("Studies · Ticketscope")
    ready(page)
    page.go_forward()
    expect(page.get_by_role("tab", name="Overview")).to_have_attribute("aria-selected", "true")
    ready(page)
    page.go_forward()
    expect(page.get_by_role("tab", name="Accuracy")).to_have_attribute("aria-selected", "true")
    ready(page)


def test_a_reload_and_a_copied_address_open_the_same_view(opened: Watched, browser: Browser) -> None:
    page = opened.page
    opened.open(f"{STUDY}&tab=verdicts")
    expect(page.get_by_role("tab", name="Verdicts")).to_have_attribute("aria-selected", "true")
    open_tab(page, "Overlap")
    page.get_by_text("epochs, log").click()
    expect(page).to_have_url(f"{opened.address}{STUDY}&tab=overlap&overlap_time_axis=log")
    address = page.url
    page.reload()
    ready(page)
    assert selected(page) == "Overlap"
    expect(page.get_by_role("radio", name="epochs, log")).to_be_checked()
    with watching(browser, opened.address) as other:
        other.open(address.removeprefix(opened.address))
        assert selected(other.page) == "Overlap"
        expect(other.page.get_by_role("radio", name="epochs, log")).to_be_checked()


def test_choices_of_a_viewer_are_beside_the_token(opened: Watched, home: Path) -> None:
    token = shared_links.create(Database(home / "ticketscope.duckdb"), ["finished-before"])[1]
    page = opened.page
    opened.open(f"/shared?share={token}")
    open_tab(page, "Accuracy")
    expect(page).to_have_url(f"{opened.address}/shared?share={token}&tab=accuracy")
    page.reload()
    ready(page)
    assert selected(page) == "Accuracy"
    expect(page).to_have_title("Finished before · done")
    page.go_back()
    expect(page.get_by_role("tab", name="Overview")).to_have_attribute("aria-selected", "true")
    assert token in page.url
    ready(page)


def test_an_address_in_error_runs_nothing(opened: Watched) -> None:
    page = opened.page
    bad = "%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D'owned'%22%3E"
    opened.open(f"{STUDY}&tab={bad}&accuracy_axis={bad}&stages_search={bad}&notify={bad}&{bad}={bad}")
    assert selected(page) == "Overview"
    open_tab(page, "Progress")
    expect(page.get_by_label("Search stages")).to_have_value("<img src=x onerror=\"document.title='owned'\">")
    expect(page).to_have_title("Finished before · done")


def test_an_unknown_address_says_so(opened: Watched) -> None:
    page = opened.page
    opened.open("/nonsense")
    expect(page.get_by_role("heading", name="No such page")).to_be_visible()
    expect(page).to_have_title("No such page · Ticketscope")
    assert page.url.endswith("/nonsense")
    # No page has an address below another.
    opened.open("/study/nonsense/")
    expect(page.get_by_text("This dashboard has no page 'study nonsense'")).to_be_visible()
    page.get_by_role("link", name="All studies").click()
    expect(page).to_have_title("Studies · Ticketscope")
    ready(page)


def test_the_list_of_studies_has_its_name_as_an_address_too(opened: Watched) -> None:
    page = opened.page
    opened.open("/studies")
    expect(page.get_by_role("heading", name="Studies", exact=True)).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("link", name="Three rates")).to_be_visible()
    # Pictures of the results follow the list by themselves.
    expect(page.get_by_alt_text("in miniature")).to_have_count(2)


def test_a_study_that_ends_says_so_by_title_icon_toast_and_notification(
    browser: Browser, served_home: str, home: Path
) -> None:
    with watching(browser, served_home) as opened:
        page = opened.page
        page.context.grant_permissions(["notifications"], origin=served_home)
        page.add_init_script(
            "window.shown = []; const real = window.Notification;"
            "window.Notification = class { constructor(text) { window.shown.push(text); } };"
            "Object.defineProperty(window.Notification, 'permission', {get: () => real.permission});"
        )
        opened.open("/study?study=three-rates")
        assert page.title().endswith(" % · Three rates")
        icon = page.locator("link[rel='shortcut icon']")
        running = icon.get_attribute("href")
        page.locator(".st-key-notify label").click()
        expect(page).to_have_url(f"{served_home}/study?study=three-rates&notify=true")
        end(Database(home / "ticketscope.duckdb"))
        expect(page).to_have_title("Three rates · done")
        expect(page.get_by_test_id("stToast")).to_contain_text("Three rates is done.")
        ready(page)
        assert icon.get_attribute("href") != running
        assert json.loads(page.evaluate("JSON.stringify(window.shown)")) == ["Three rates is done"]
