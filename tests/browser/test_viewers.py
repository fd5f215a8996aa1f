"""All that a viewer's browser receives: the frames of its WebSocket, the page, and every file that it can save."""

import hashlib
import io
import socket
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocket
from streamlit.runtime.metrics_util import Installation

from app.compare.state import CompareState, to_query
from data.database.database import Database
from data.shared_links import Anonymous, create
from engine.study.spec import parse_study
from tests.app.made_study import record
from tests.browser.chromium import new_context, open_tab, ready
from tests.browser.serving import DASHBOARD, ROOT, served
from tests.machine import folder_of_images

pytestmark = pytest.mark.browser

STUDY = "made-study-0001"
ERROR = (
    'OSError: no /home/caroljones/data\n\nTraceback (most recent call last):\n  File "/home/caroljones/run.py", line 7'
)
MAIN = str(ROOT / "app" / "main.py")
# Workers are called worker-1 and worker-2 and their host laptop in a recorded study. Streamlit sends ids of the machine
# and the path of its script, or a hash by which a guessed path can be checked.
PLACES = (
    *("/home/", "caroljones", "laptop", "worker-1", "worker-2", "traceback (", "oserror", str(ROOT)),
    *(hashlib.md5(MAIN.encode()).hexdigest(), Installation.instance().installation_id_v3, "uploads/alicemiller"),
    # A short name of this host would be found by chance.
    *({socket.gethostname()} if len(socket.gethostname()) > 6 else ()),
)
PEOPLE = ("alicemiller", "bobolink", "calicocats", "group of")


@dataclass
class Received:
    """What a browser received: frames and files, each with where it came from."""

    parts: list[tuple[str, bytes]] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Collect the frames of all WebSockets of a page."""

        def on_socket(opened: WebSocket) -> None:
            opened.on("framereceived", lambda content: self.add("frame", content))

        page.on("websocket", on_socket)

    def add(self, where: str, content: bytes | str) -> None:
        """Collect some content, and what is packed in it."""
        content = content.encode() if isinstance(content, str) else content
        self.parts.append((where, content))
        if content[:4] == b"PAR1":
            table = pq.read_table(io.BytesIO(content))
            self.parts.append((where, f"{table.schema} {table.to_pydict()}".encode()))
        elif content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    self.add(f"{where}, {name}", name)
                    self.add(f"{where}, {name}", archive.read(name))

    def found(self, *secrets: str) -> set[tuple[str, str]]:
        """Return which secrets are in it, and where."""
        lowered = [(where, content.lower()) for where, content in self.parts]
        return {(s, where) for where, content in lowered for s in secrets if s.lower().encode() in content}


@pytest.fixture(scope="module")
def alices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, str, str]]:
    """A database with a study on a folder, one stage of which failed; its dataset; the dashboard's address."""
    folder = tmp_path_factory.mktemp("caroljones")
    home = folder / "home"
    dataset = f"folder:{folder_of_images(folder / 'uploads' / 'alicemiller' / 'calicocats')}"
    study = parse_study(
        {
            "name": "Alicemiller's study",
            "note": "for the group of Bobolink",
            "datasets": [dataset],
            "networks": ["lenet300"],
            "learning_rates": [0.1],
            "pruners": ["iterative"],
            "sparsities": [0.5],
            "seeds": [0, 1],
            "starts": ["winning_ticket", "finetune"],
            "recipe": {"epochs": 2},
        }
    )
    database = Database(home / "ticketscope.duckdb")
    database.ensure()
    record(database, study, lambda index, stage: "failed" if index == 2 else "done", STUDY, error=ERROR)
    with served(*DASHBOARD, home=home) as address:
        yield database, dataset, address


def save(page: Page, received: Received, button: Locator) -> str:
    """Save a file, and return its label."""
    # An icon is a line of its own.
    label = button.inner_text().splitlines()[-1]
    # A file that is requested while the page draws itself again is gone before it is sent.
    ready(page)
    with page.expect_download(timeout=120_000) as download:
        button.click()
    received.add(f"name of {label}", download.value.suggested_filename)
    received.add(label, Path(download.value.path()).read_bytes())
    return label


def save_all(page: Page, received: Received, menu: Locator, but: Collection[str] = ()) -> list[str]:
    """Save the files that a menu offers, but those of some labels, and return their labels."""
    menu.click()
    buttons = page.locator("[data-testid=stPopoverBody] [data-testid=stDownloadButton] button")
    buttons.first.wait_for()
    ready(page)
    labels = [save(page, received, button) for button in buttons.all() if button.inner_text() not in but]
    page.keyboard.press("Escape")
    return labels


def open_folds(page: Page) -> None:
    """Open all that is folded; what is open may draw its part of the page again, so one is looked for at a time."""
    closed = page.locator("[data-testid=stExpander] details:not([open]) > summary:visible")
    for _ in range(closed.count()):
        if closed.count():
            closed.first.click()
            ready(page)


def walk(page: Page, received: Received, address: str, tabs: tuple[str, ...]) -> list[str]:
    """Open all that a link shows and save every file, and return the labels of the files."""
    received.watch(page)
    page.goto(address)
    ready(page)
    menus = page.locator("[data-testid=stPopover] button:visible")
    labels = save_all(page, received, menus.first) if tabs else []
    for tab in tabs or ("",):
        if tab:
            open_tab(page, tab)
        open_folds(page)
        # The first menu of a study is that of the page. Charts are alike: one of each tab, and one picture, will do.
        if menus.count() > len(tabs[:1]):
            labels += save_all(page, received, menus.last, but={"Picture (PNG)", "Drawing (SVG)"}.intersection(labels))
        for button in page.locator(".st-key-verdict_csv button:visible").all():
            labels.append(save(page, received, button))
        received.add(f"page {tab}", page.content())
    received.add("title", page.title())
    return labels


@pytest.mark.parametrize("anonymous", [None, Anonymous("Submission 12")])
def test_a_viewer_of_a_study_receives_no_secret(
    alices: tuple[Database, str, str], browser: Browser, anonymous: Anonymous | None
) -> None:
    database, _, address = alices
    token = create(database, [STUDY], note="from Alicemiller", anonymous=anonymous)[1]
    received, context = Received(), new_context(browser, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    tabs = ("Overview", "Progress", "Accuracy", "Overlap", "Verdicts")
    labels = walk(page, received, f"{address}/shared?share={token}", tabs)
    context.close()
    assert {
        "Report (HTML)",
        "Everything (zip)",
        "Study (TOML)",
        "Picture (PNG)",
        "Numbers (CSV)",
        "Verdicts as CSV",
    } <= set(labels)
    # The secrets are where they belong, or the test would prove nothing.
    assert "for the group of Bobolink" in str(database.path.read_bytes())
    assert received.found(*PLACES) == set()
    assert {where for _, where in received.found("folder:")} >= {"Study (TOML)", "Report (HTML)"}
    assert received.found("Its", "training ended with an error of the program")
    assert received.found("the paths of folders were left out")
    if anonymous:
        assert received.found(*PEOPLE) == set()
        assert received.found("Submission 12")
    else:
        assert {secret for secret, _ in received.found(*PEOPLE)} == set(PEOPLE)


def test_a_viewer_of_an_anonymous_view_receives_no_secret(alices: tuple[Database, str, str], browser: Browser) -> None:
    database, dataset, address = alices
    state = to_query(CompareState((STUDY,), datasets=(dataset,), panels="dataset", point="0123abcd"))
    token = create(database, [STUDY], state, "from Alicemiller", anonymous=Anonymous("Submission 12"))[1]
    received, context = Received(), new_context(browser, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    labels = walk(page, received, f"{address}/shared?share={token}", ())
    for view in ("Learning rate sweep", "Overlap"):
        page.get_by_role("radio", name=view).click()
        ready(page)
        received.add(view, page.content())
    context.close()
    assert "Numbers (CSV)" in labels
    assert received.found(*PLACES, *PEOPLE) == set()
    assert received.found("folder dataset")
