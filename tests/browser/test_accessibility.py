"""Every page for everyone: axe finds nothing, in both colour schemes and at three widths; a keyboard suffices."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from data.database.database import Database
from data.database.events import Event
from data.shared_links import create
from engine.study.spec import parse_study
from tests.app.made_study import record
from tests.browser.chromium import new_context, open_tab, ready
from tests.browser.conftest import FINISHED, finished_home
from tests.browser.serving import DASHBOARD, served

pytestmark = pytest.mark.browser

DONE, FAILED, TRAINING, TRASHED = "finished-before", "failed-study", "training-study", "trashed-study"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The sizes and schemes of one visit: a change of either draws the page again without loading it.
VIEWS = ((1440, "light"), (1024, "dark"), (390, "light"))
PAGES = {
    "studies": "/",
    "trash": "/?show=trash",
    "new study": "/new_study",
    "paper": "/paper?scale=small",
    "figure": "/figure?figure=main-fig4&scale=small",
    "compare": "/compare?s=finish",
    "workers": "/workers",
    "glossary": "/glossary",
    "links": "/links",
    "no such page": "/nowhere",
    "failed": f"/study?study={FAILED}",
    "training": f"/study?study={TRAINING}",
}
TABS = ("Overview", "Progress", "Accuracy", "Overlap", "Verdicts")


@pytest.fixture(scope="module")
def served_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A dashboard without workers: a study that is done, one with failures, one that trains, one in the Trash."""
    home = finished_home(tmp_path_factory.mktemp("everyone"))
    database = Database(home / "ticketscope.duckdb")
    failed = parse_study({**FINISHED, "name": "Failed", "seeds": [7]})
    record(database, failed, lambda index, stage: "done" if index % 3 else "failed", FAILED)
    training = parse_study({**FINISHED, "name": "In training", "seeds": [8]})
    record(database, training, lambda index, stage: "done" if index < 6 else "running", TRAINING)
    small = {"name": "In the Trash", "pruners": [], "sparsities": [], "starts": [], "seeds": [9]}
    record(database, parse_study({**FINISHED, **small}), study_id=TRASHED)
    database.record([Event("1-1", "trashed", {"study_id": TRASHED, "at": "2026-11-29T12:00:00+00:00"})])
    with served(*DASHBOARD, home=home) as address:
        yield address, home


@pytest.fixture(scope="module")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that loads the dashboard's code once for all pages."""
    context = new_context(browser)
    yield context
    context.close()


@pytest.fixture
def page(visitor: BrowserContext) -> Iterator[Page]:
    page = visitor.new_page()
    yield page
    page.close()


def faults(page: Page) -> list[str]:
    """Return what axe finds on a page in each size and scheme: the rule, the element and why."""
    lines = []
    # Colours else fade from one scheme to the other.
    page.add_style_tag(content="* {transition: none !important; animation: none !important;}")
    for width, scheme in VIEWS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(150)
        options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
        for violation in Axe().run(page, options=options).response["violations"]:
            for node in violation["nodes"]:
                why = node["failureSummary"].splitlines()[-1].strip()
                lines.append(f"{width} {scheme}: {violation['id']}: {node['html'][:160]}: {why}")
    return lines


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_axe_finds_nothing_on_a_page(served_home: tuple[str, Path], page: Page, path: str) -> None:
    page.goto(served_home[0] + path)
    ready(page)
    assert page.locator("h1").count() == 1
    assert faults(page) == []


@pytest.mark.parametrize("tab", TABS)
def test_axe_finds_nothing_on_a_tab_of_a_study(served_home: tuple[str, Path], page: Page, tab: str) -> None:
    page.goto(f"{served_home[0]}/study?study={DONE}")
    ready(page)
    open_tab(page, tab)
    # They are alike.
    for fold in page.locator("[data-testid=stExpander] summary:visible").all()[:2]:
        fold.click()
    ready(page)
    assert faults(page) == []


def test_axe_finds_nothing_in_a_dialog(served_home: tuple[str, Path], page: Page) -> None:
    page.goto(f"{served_home[0]}/study?study={DONE}")
    ready(page)
    for name in ("Share", "Delete"):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        ready(page)
        assert faults(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_axe_finds_nothing_on_what_a_link_shows(served_home: tuple[str, Path], page: Page) -> None:
    address, home = served_home
    token = create(Database(home / "ticketscope.duckdb"), [DONE])[1]
    page.goto(f"{address}/shared?share={token}")
    ready(page)
    expect(page.get_by_role("heading", name="Finished before")).to_be_visible()
    assert faults(page) == []


def tab_to(page: Page, text: str) -> None:
    """Press Tab until the link, button or tab that has the focus is called a text."""
    # The icon of an element is a line of its own.
    words = "document.activeElement.matches('a, button, [role=tab]') ? document.activeElement.innerText : ''"
    for _ in range(60):
        page.keyboard.press("Tab")
        if text in str(page.evaluate(words)).splitlines():
            return
    raise AssertionError(f"no element called {text!r} took the focus")


def test_the_numbers_of_a_chart_are_saved_by_keyboard_alone(served_home: tuple[str, Path], page: Page) -> None:
    page.goto(served_home[0])
    ready(page)
    tab_to(page, "Finished before")
    page.keyboard.press("Enter")
    page.wait_for_url("**/study?study=*")
    ready(page)
    tab_to(page, "Overview")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        # Streamlit may forget a tab that is chosen while it draws another.
        ready(page)
    expect(page.get_by_role("tab", name="Accuracy")).to_have_attribute("aria-selected", "true")
    tab_to(page, "Save")
    page.keyboard.press("Enter")
    tab_to(page, "Numbers (CSV)")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".csv")
