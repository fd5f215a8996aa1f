"""Finds the Chromium of browser tests and benchmarks, on PATH or Playwright's; --install installs Debian's as root."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from playwright.sync_api import Browser, BrowserContext, Page, WebSocket, expect, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Match once a page of the dashboard is connected, and once it is drawn, too.
CONNECTED = '[data-testid=stApp][data-test-connection-state="CONNECTED"]'
READY = CONNECTED + '[data-test-script-state="notRunning"]'
# Seconds that a page may take to be drawn.
PATIENCE = 60.0
# Seconds after which a page that refreshes itself is taken for one that always runs, as on a busy machine.
BUSY = 10.0
ADVICE = (
    "The browser tests need a Chromium, and none is installed. Install one with `apt-get install chromium` (as root) "
    "or `.venv/bin/python -m playwright install --with-deps chromium`."
)


def find() -> str | None:
    """Return the path of a Chromium, None if there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


# What is known of a page, from its socket. A click has been sent, and whether a run has begun since then; absent once a
# run has ended after that.
_asked: WeakKeyDictionary[Page, bool] = WeakKeyDictionary()
# Those whose last request was their own idea, as that of a study in training.
_refreshing: WeakSet[Page] = WeakSet()


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """Return a new context of a browser, for whose pages `ready` waits until each click and key is answered.

    options: those of Playwright's new_context. Nothing moves on its pages, since that takes a sixth of all CPU time.
    """
    context = browser.new_context(reduced_motion="reduce", **options)
    context.on("page", lambda page: page.on("websocket", lambda socket: _follow(page, socket)))
    return context


def _follow(page: Page, socket: WebSocket) -> None:
    """Note when a page asks for a run of its script, and when that has run to its end."""

    def sent(message: str | bytes) -> None:
        if not isinstance(message, bytes):
            return
        request = BackMsg.FromString(message)
        if not request.HasField("rerun_script"):
            return
        if request.rerun_script.is_auto_rerun:
            _refreshing.add(page)
        else:
            _refreshing.discard(page)
            _asked[page] = False

    def received(message: str | bytes) -> None:
        if not isinstance(message, bytes) or page not in _asked:
            return
        answer = ForwardMsg.FromString(message)
        if answer.HasField("new_session"):
            _asked[page] = True
        # A run that ends early is followed by the one that it made way for.
        elif (
            _asked[page]
            and answer.HasField("script_finished")
            and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        ):
            del _asked[page]

    def closed(_: WebSocket) -> None:
        _asked.pop(page, None)
        _refreshing.discard(page)

    socket.on("framesent", sent)
    socket.on("framereceived", received)
    socket.on("close", closed)


def ready(page: Page) -> None:
    """Wait until Streamlit has answered the page, has drawn it and has nothing left to do."""
    _drawn(page)
    # Some pages are drawn twice, with a short pause.
    page.wait_for_timeout(250)
    _drawn(page)


def _drawn(page: Page) -> None:
    """Wait for the answer to the last click or key; a busy machine may take its time to begin with it."""
    begin = time.monotonic()
    while True:
        waited = time.monotonic() - begin
        sign = CONNECTED if page in _refreshing and waited > BUSY else READY
        if page not in _asked and page.locator(sign).count():
            return
        assert waited < PATIENCE, f"{page.url} was not drawn in {PATIENCE:.0f} s"
        page.wait_for_timeout(20)


def open_tab(page: Page, name: str) -> None:
    """Open a tab, with a second click where Streamlit forgets the first, as it may while it draws a page."""
    tab = page.get_by_role("tab", name=name)
    tab.click()
    ready(page)
    if tab.get_attribute("aria-selected") != "true":
        tab.click()
        ready(page)
    expect(tab).to_have_attribute("aria-selected", "true")


@contextmanager
def launched() -> Iterator[Browser]:
    """Run the browser for the block; RuntimeError, with how to install one, if there is none."""
    path = find()
    if path is None:
        raise RuntimeError(ADVICE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


def install() -> str | None:
    """Install Debian's Chromium and return its path; None if that is not possible here."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
        print("+", *command, flush=True)
        if subprocess.run(command, env=environment, check=False).returncode:
            return None
    return find()


def main() -> int:
    """Print the browser's path; return 1 if there is none."""
    path = find() or (install() if "--install" in sys.argv[1:] else None)
    print(f"browser: {path}" if path else ADVICE)
    return 0 if path else 1


if __name__ == "__main__":
    sys.exit(main())
