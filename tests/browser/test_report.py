"""A report that is opened from disk, without a network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from app.export.report import report
from data.database.database import Database
from engine.study.spec import parse_study
from tests.app.made_study import record
from tests.browser.conftest import FINISHED

pytestmark = pytest.mark.browser

ID = "finished-before"
HOSTILE = "Two </script><script>window.harmed = 1</script> rates"


@dataclass
class Offline:
    """A report in a browser without a network; messages: of its console; requests: the addresses that it requested."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a report on a study with a hostile name and note."""
    folder = tmp_path_factory.mktemp("report")
    database = Database(folder / "ticketscope.duckdb")
    database.ensure()
    note = "A note </style><img src=x onerror='window.harmed = 2'>"
    record(database, parse_study({**FINISHED, "name": HOSTILE, "note": note, "seeds": [0, 1, 2]}), study_id=ID)
    path = folder / "report.html"
    path.write_text(report(database, ID), encoding="utf-8")
    return path


@pytest.fixture(params=[(1440, "light"), (420, "dark")], ids=["wide-light", "narrow-dark"])
def opened(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Offline]:
    """The report, opened from disk."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_offline(True)
    report = Offline(context.new_page())
    report.page.on("console", lambda message: report.messages.append(message.text))
    report.page.on("pageerror", lambda error: report.messages.append(str(error)))
    report.page.on("request", lambda request: report.requests.append(request.url))
    report.page.goto(file.as_uri())
    report.page.wait_for_selector("body[data-drawn]", timeout=60_000)
    yield report
    context.close()


def test_the_report_opens_from_disk_draws_every_chart_and_requests_nothing(opened: Offline, file: Path) -> None:
    page = opened.page
    places = page.locator("[data-chart]")
    # Each rate has charts of accuracy, starts, dense ancestors and layers; both share retention by p and over time, the
    # three panels by learning rate, gap against overlap, and verdicts in points and in overlap.
    assert places.count() == 2 + 2 + 2 + 2 + 1 + 1 + 3 + 1 + 2
    for index in range(places.count()):
        expect(places.nth(index).locator("svg.marks path").first).to_be_attached()
    assert opened.messages == []
    assert opened.requests == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_point_shows_its_numbers(opened: Offline) -> None:
    page = opened.page
    point = page.locator("[data-chart='0'] g.mark-symbol path").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    expect(page.locator("#vg-tooltip-element")).to_contain_text(re.compile(r"seeds \(n\)\s*3"))


def test_an_entry_of_a_legend_singles_its_series_out(opened: Offline) -> None:
    page = opened.page
    panel = page.locator("#accuracy ~ .grid [data-chart]").first
    ticket, reinit = (panel.locator(f"g.mark-line path[stroke='{colour}']").first for colour in ("#0072B2", "#D55E00"))
    entry = page.locator(".ticketscope-look", has_text="winning ticket").first
    entry.scroll_into_view_if_needed()
    for leave in (False, True):
        if leave:
            entry.press("Enter")
            page.mouse.move(0, 0)
            expect(entry).to_have_attribute("aria-pressed", "true")
        else:
            entry.hover()
        expect(reinit).to_have_css("opacity", "0.08")
        expect(ticket).to_have_css("opacity", "1")
    # Once more, and all are as before.
    entry.press("Enter")
    expect(reinit).to_have_css("opacity", "1")


def test_names_and_notes_are_shown_as_text(opened: Offline) -> None:
    page = opened.page
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.locator(".note")).to_contain_text("</style><img")
    assert page.evaluate("window.harmed") is None


def test_a_verdict_card_shows_its_rule_and_numbers_on_a_click(opened: Offline) -> None:
    card = opened.page.locator(".card").first
    expect(card.locator("table").first).to_be_hidden()
    card.locator("summary").click()
    expect(card.locator("table").first).to_be_visible()
    expect(card).to_contain_text("n = 3)")
    expect(card.locator("td.number").first).to_have_css("text-align", "right")
