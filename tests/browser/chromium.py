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
from weakref import WeakSet

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
# Matches once a page of the dashboard is connected and drawn.
READY = '[data-testid=stApp][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
# Seconds that a page may take to be drawn.
PATIENCE = 60.0
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


# The pages that have asked for a run of their script and not heard of its end.
_asking: WeakSet[Page] = WeakSet()


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
        if isinstance(message, bytes) and BackMsg.FromString(message).HasField("rerun_script"):
            _asking.add(page)

    def received(message: str | bytes) -> None:
        if not isinstance(message, bytes):
            return
        answer = ForwardMsg.FromString(message)
        # A run that ends early is followed by the one that it made way for.
        if (
            answer.WhichOneof("type") == "script_finished"
            and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        ):
            _asking.discard(page)

    socket.on("framesent", sent)
    socket.on("framereceived", received)
    socket.on("close", lambda _: _asking.discard(page))


def ready(page: Page) -> None:
    """Wait until Streamlit has answered the page, has drawn it and has nothing left to do."""
    _drawn(page)
    # Some pages are drawn twice, with a short pause.
    page.wait_for_timeout(250)
    _drawn(page)


def _drawn(page: Page) -> None:
    """Wait for the answer to the last click or key; a busy machine may take its time to begin with it."""
    end = time.monotonic() + PATIENCE
    while page in _asking and time.monotonic() < end:
        page.wait_for_timeout(20)
    page.wait_for_selector(READY, timeout=1000 * PATIENCE)


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
