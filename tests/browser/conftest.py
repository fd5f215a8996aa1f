"""Everything started for real, and a Chromium that looks at it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, WebSocket, expect

from data.database.database import Database
from engine.study.spec import parse_study
from tests.app.made_study import record
from tests.browser.chromium import READY, launched
from tests.browser.serving import DASHBOARD, served

# Machines that run the tests are shared: nothing here is about speed.
expect.set_options(timeout=30_000)

FINISHED = {
    "name": "Finished before",
    "datasets": ["digits"],
    "networks": ["lenet300"],
    "pruners": ["iterative"],
    "sparsities": [0.5, 0.9],
    "seeds": [0, 1],
    "recipe": {"epochs": 4},
}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium; the test fails, with how to get one, where there is none."""
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard with Redis, recorder and workers behind it, and one study that finished before."""
    with up(tmp_path_factory.mktemp("up")) as address:
        yield address


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    """The address of a dashboard alone, which nobody has opened yet, with the password "open sesame"."""
    with served(*DASHBOARD, home=finished_home(tmp_path), TICKETSCOPE_PASSWORD="open sesame") as address:
        yield address


def finished_home(folder: Path) -> Path:
    """Return a home with one finished study, which also keeps `up` from queueing the demo."""
    home = folder / "home"
    database = Database(home / "ticketscope.duckdb")
    database.ensure()
    record(database, parse_study(FINISHED), study_id="finished-before")
    return home


@contextmanager
def up(folder: Path) -> Iterator[str]:
    """Run everything that `up` starts, in a home of its own, for the block; yield the dashboard's address."""
    command = ("-m", "tasks", "up", "--workers", "2", "--device", "cpu", "--port")
    with served(*command, home=finished_home(folder)) as address:
        yield address


@dataclass
class Watched:
    """A browser page, with every error that it met and every request that left this machine."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> None:
        """Go to a page of the dashboard and wait until it is drawn."""
        self.page.goto(self.address + path)
        self.ready()

    def ready(self) -> None:
        """Wait until Streamlit has nothing left to do."""
        self.page.wait_for_selector(READY, timeout=60_000)
        self.page.wait_for_timeout(150)
        self.page.wait_for_selector(READY, timeout=60_000)


@contextmanager
def watching(browser: Browser, address: str) -> Iterator[Watched]:
    """Open a browser page that fails the test at its end if anything went wrong in it or left the machine."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    found = Watched(page, address)

    def on_response(response: Response) -> None:
        # On an address below the root Streamlit first looks for itself there: two probes of its own that miss.
        if response.status >= 400 and not response.url.endswith(("/_stcore/health", "/_stcore/host-config")):
            found.errors.append(f"{response.status} {response.url}")

    def on_console(message: ConsoleMessage) -> None:
        # A missing file is told of above, by its address.
        if message.type == "error" and "404 (Not Found)" not in message.text:
            found.errors.append(message.text)

    def on_request(request: Request | WebSocket) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in ("localhost", "127.0.0.1"):
            found.outside.append(request.url)

    page.on("response", on_response)
    page.on("console", on_console)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("request", on_request)
    page.on("websocket", on_request)
    yield found
    context.close()
    assert not found.errors
    assert not found.outside


@pytest.fixture
def watched(browser: Browser, dashboard: str) -> Iterator[Watched]:
    """A browser page at the dashboard with everything behind it."""
    with watching(browser, dashboard) as page:
        yield page
