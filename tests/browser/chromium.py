"""Finds the Chromium of browser tests and benchmarks, on PATH or Playwright's; --install installs Debian's as root."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

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


def ready(page: Page) -> None:
    """Wait until Streamlit has drawn the page and has nothing left to do."""
    page.wait_for_selector(READY, timeout=60_000)
    # Some pages are drawn twice, with a short pause.
    page.wait_for_timeout(250)
    page.wait_for_selector(READY, timeout=60_000)


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
