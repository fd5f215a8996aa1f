"""Real dashboards with everything behind them, and pages of a real Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, WebSocket, expect

from data.database.database import Database
from data.settings import Settings
from engine.study.spec import parse_study
from tasks.broker.connection import client
from tasks.queue import leases
from tests.app.made_study import record
from tests.browser.chromium import launched, new_context, ready
from tests.browser.serving import DASHBOARD, served

# The tests run on shared machines, and none of these measures speed.
expect.set_options(timeout=60_000)

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
    """A Chromium; the test fails, with how to install one, if there is none."""
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def up_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the dashboard with everything behind it."""
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="session")
def dashboard(up_folder: Path) -> Iterator[str]:
    """The address of a dashboard with Redis, recorder and workers behind it, and one finished study."""
    with up(up_folder) as address:
        yield address


@pytest.fixture
def stopping(up_folder: Path, dashboard: str) -> Iterator[None]:
    """Cancel the studies of that dashboard after the test, which else would train beside all other tests."""
    del dashboard
    yield
    with client(Settings(TICKETSCOPE_HOME=str(up_folder / "home"))) as redis:
        for study_id in leases.studies(redis):
            leases.cancel(redis, study_id, leases.now(redis))


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    """The address of a dashboard without workers that nobody has opened yet; its password is "open sesame"."""
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
    """Run everything that `up` starts, in its own home, for the block; yield the dashboard's address."""
    command = ("-m", "tasks", "up", "--workers", "1", "--device", "cpu", "--port")
    with served(*command, home=finished_home(folder)) as address:
        yield address


@dataclass
class Watched:
    """A browser page with all of its errors, and all of its requests to other machines."""

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
        ready(self.page)


@contextmanager
def watching(browser: Browser, address: str) -> Iterator[Watched]:
    """Open a browser page for the block, and fail if it had an error or made a request to another machine."""
    context = new_context(browser, viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    watched = Watched(page, address)

    def on_response(response: Response) -> None:
        # On an address below the root, Streamlit first probes these two paths there, in vain.
        if response.status >= 400 and not response.url.endswith(("/_stcore/health", "/_stcore/host-config")):
            watched.errors.append(f"{response.status} {response.url}")

    def on_console(message: ConsoleMessage) -> None:
        # on_response has already noted a missing file, with its address.
        if message.type == "error" and "404 (Not Found)" not in message.text:
            watched.errors.append(message.text)

    def on_request(request: Request | WebSocket) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in ("localhost", "127.0.0.1"):
            watched.outside.append(request.url)

    page.on("response", on_response)
    page.on("console", on_console)
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on("request", on_request)
    page.on("websocket", on_request)
    yield watched
    context.close()
    assert not watched.errors
    assert not watched.outside


@pytest.fixture
def watched(browser: Browser, dashboard: str) -> Iterator[Watched]:
    """A browser page of the dashboard with everything behind it."""
    with watching(browser, dashboard) as page:
        yield page
