"""Hostile names, notes and errors: no page runs a script of theirs or makes a request to another machine."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from app.export.report import report
from app.new_study.typed import PAUSE
from data import saved_views, shared_links
from data.database.database import Database
from data.database.events import Event
from data.settings import Settings
from engine.study.spec import parse_study
from tasks.broker.server import serving
from tasks.queue import telemetry
from tests.app.made_study import record
from tests.browser.chromium import new_context, open_tab, ready
from tests.browser.conftest import FINISHED
from tests.browser.serving import DASHBOARD, served

pytestmark = pytest.mark.browser

STUDY = "hostile-study"
# An address of another scheme than the page's needs no slash, so it fits into the last part of a path.
PICTURE = "![](https:evil.example)"
NAME = f"<img src=x onerror=window.harmed=1> {PICTURE} :material/home: :red[r] $x$"
HARM = (
    f"{NAME} </script><script>window.harmed=2</script> </style><svg onload=window.harmed=3> "
    "[a](javascript:window.harmed=4) ![](http://evil.example/pixel.png) <iframe src=//evil.example></iframe> "
    "`</code>` \\newcommand $$\\href{javascript:window.harmed=5}{x}$$ &lt;img src=y onerror=window.harmed=6&gt;"
)
# Pages show the last part of a folder.
FOLDER = f"folder:/data/<img src=x onerror=window.harmed=7>{PICTURE} $x$ :red[r]"


def fail_stage(database: Database, fingerprint: str) -> None:
    """Record the failure of a stage on a worker whose names and error are hostile."""
    at = datetime(2026, 11, 20, 13, tzinfo=UTC)
    change = {
        "fingerprint": fingerprint,
        "attempt": 2,
        "at": at.isoformat(),
        "worker": HARM,
        "host": HARM,
        "device": HARM,
    }
    milliseconds = int(at.timestamp() * 1000)
    states = (("running", None), ("failed", f"Traceback\n  {HARM}\nRuntimeError: {HARM}"))
    database.record(
        [
            Event(f"{milliseconds}-{number}", "stage", {**change, "state": state, "error": error})
            for number, (state, error) in enumerate(states)
        ]
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Database]]:
    """A dashboard with hostile texts in all that it shows: its address, the token of a link, and its database."""
    home = tmp_path_factory.mktemp("hostile") / "home"
    database = Database(home / "ticketscope.duckdb")
    database.ensure()
    values = {**FINISHED, "name": NAME, "note": HARM, "datasets": ["digits", FOLDER], "pruners": ["iterative", "admm"]}
    planned = record(database, parse_study(values), study_id=STUDY)
    fail_stage(database, list(planned.stages)[-1])
    database.record([Event("9999999999999-0", "described", {"study_id": STUDY, "note": HARM, "tags": [HARM]})])
    _, token = shared_links.create(database, [STUDY], note=HARM[: shared_links.LONGEST_NOTE])
    shared_links.create(database, [STUDY], state=f"s={STUDY}", note=PICTURE)
    saved_views.save(database, NAME[: saved_views.LONGEST], f"s={STUDY}&pr={quote(PICTURE)}")
    config = Settings(TICKETSCOPE_HOME=str(home))
    with serving(config) as redis:
        now = datetime.now(UTC)
        worker = telemetry.Worker(HARM, HARM, HARM, 1, list(planned.stages)[-1], now, now, trouble=HARM, gpu=HARM)
        # The worker must be alive until all pages were opened.
        telemetry.beat(redis, replace(worker, heartbeat=600.0))
        with served(*DASHBOARD, home=home) as address:
            yield address, token, database


@contextmanager
def trapped(browser: Browser) -> Iterator[Page]:
    """Open a browser page for the block, and fail if a dialog opened or a request went to another machine."""
    context = new_context(browser, viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    incidents: list[str] = []
    page.on("dialog", lambda dialog: (incidents.append(dialog.message), dialog.dismiss()))

    def on_request(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "file") and parts.hostname not in ("localhost", "127.0.0.1"):
            incidents.append(url)

    page.on("request", lambda request: on_request(request.url))
    page.on("websocket", lambda socket: on_request(socket.url))
    yield page
    context.close()
    assert not incidents


def check(page: Page) -> None:
    """Fail if a hostile name became more than text on the page; a link that only a click opens is allowed."""
    assert page.evaluate("window.harmed") is None
    foreign = "[src*=evil], link[href*=evil], [style*=evil], [href^='javascript:'], img[src=x], svg[onload]"
    elements = page.locator(foreign).evaluate_all("all => all.map(element => element.parentElement.outerHTML)")
    assert not elements, f"{unquote(page.url)[:200]}\n{elements}"


HARMFUL = quote(HARM)
PAGES = [
    "/",
    "/new_study",
    f"/new_study?copy={STUDY}",
    f"/new_study?copy={HARMFUL}",
    f"/new_study?paper={HARMFUL}",
    f"/new_study?paper=fig7&scale={HARMFUL}&data={HARMFUL}",
    f"/study?study={HARMFUL}",
    f"/compare?s={STUDY}",
    f"/compare?s={STUDY}&by=dataset&c=start",
    f"/compare?s={STUDY}&v=sweep",
    f"/compare?s={STUDY}&v=overlap",
    f"/compare?s={HARMFUL}&n={HARMFUL}&d={HARMFUL}&pr={HARMFUL}&lr={HARMFUL}&q={HARMFUL}&z={HARMFUL}&at={HARMFUL}",
    f"/compare?s={STUDY}&v=sweep&q={HARMFUL}&n={HARMFUL}",
    "/paper",
    f"/paper?scale={HARMFUL}&data={HARMFUL}",
    f"/figure?figure={HARMFUL}",
    f"/figure?figure=fig7&scale={HARMFUL}&data=folder:{HARMFUL}",
    "/links",
    "/glossary",
    "/workers",
    f"/shared?share={HARMFUL}",
]


def test_no_page_runs_or_fetches_code_in_names(browser: Browser, hostile: tuple[str, str, Database]) -> None:
    address, _, _ = hostile
    with trapped(browser) as page:
        for path in PAGES:
            page.goto(address + path)
            ready(page)
            check(page)
    # A tab that opened a link stays a viewer's.
    with trapped(browser) as page:
        page.goto(address)
        expect(page.get_by_role("link", name=NAME)).to_be_visible()
        search = page.get_by_role("searchbox")
        if search.count():
            search.first.fill(HARM)
            search.first.press("Enter")
            ready(page)
            check(page)


@pytest.mark.parametrize("shared", [False, True], ids=["owner", "viewer"])
def test_no_tab_of_a_study_runs_or_fetches_code_in_names(
    browser: Browser, hostile: tuple[str, str, Database], shared: bool
) -> None:
    address, token, _ = hostile
    with trapped(browser) as page:
        page.goto(address + (f"/shared?share={token}" if shared else f"/study?study={STUDY}"))
        ready(page)
        expect(page.get_by_role("heading", name=NAME)).to_be_visible()
        for tab in page.get_by_role("tab").all():
            tab.click()
            ready(page)
            check(page)
            # One script clicks all of them, because a refresh may redraw them between two clicks of the test.
            page.locator("summary:visible").evaluate_all("all => all.slice(0, 12).forEach(item => item.click())")
            ready(page)
            check(page)
        open_tab(page, "Progress")
        ready(page)
        page.get_by_role("searchbox").first.fill(HARM)
        page.get_by_role("searchbox").first.press("Enter")
        ready(page)
        check(page)
        if not shared:
            page.locator(".st-key-share button").click()
            ready(page)
            check(page)


def test_the_form_neither_runs_nor_fetches_code_in_toml(browser: Browser, hostile: tuple[str, str, Database]) -> None:
    address, _, _ = hostile
    with trapped(browser) as page:
        page.goto(f"{address}/new_study")
        ready(page)
        page.get_by_text("A TOML file").click()
        ready(page)
        for text in (f"{HARM}", f"name = '''{HARM}'''", f"'{PICTURE}' = 1", f"name = 'a'\ndatasets = ['''{FOLDER}''']"):
            page.get_by_label("or paste one").fill(text)
            page.wait_for_timeout(2 * PAUSE)
            ready(page)
            expect(page.locator(".st-key-toml_problem_shown")).to_be_visible()
            check(page)
        name = page.get_by_role("textbox", name="Name").first
        name.fill(NAME)
        name.press("Enter")
        folder = page.get_by_role("textbox", name=re.compile("folder", re.IGNORECASE)).first
        folder.fill(f"/data/{NAME}")
        folder.press("Enter")
        ready(page)
        check(page)


def test_the_report_neither_runs_nor_fetches_code_in_names(
    browser: Browser, hostile: tuple[str, str, Database], tmp_path: Path
) -> None:
    _, _, database = hostile
    file = tmp_path / "report.html"
    file.write_text(report(database, STUDY), encoding="utf-8")
    with trapped(browser) as page:
        page.goto(file.as_uri())
        page.wait_for_selector("body[data-drawn]", timeout=60_000)
        for summary in page.locator("summary").all():
            summary.click()
        assert page.locator("h1").first.inner_text().strip() == NAME
        check(page)
