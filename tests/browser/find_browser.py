"""Find a Chromium for the browser tests: one on PATH, else Playwright's; --install gets Debian's package when root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
ADVICE = (
    "No Chromium was found, which the browser tests need. Get one with `apt-get install chromium` (as root), or with "
    "`.venv/bin/python -m playwright install --with-deps chromium`."
)


def find() -> str | None:
    """Return the path of a Chromium, or None where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> str | None:
    """Install Debian's Chromium where that is possible, and return its path."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
        print("+", *command, flush=True)
        if subprocess.run(command, env=environment, check=False).returncode:
            return None
    return find()


def main() -> int:
    """Say where the browser is; 1 where there is none."""
    path = find() or (install() if "--install" in sys.argv[1:] else None)
    print(f"browser: {path}" if path else ADVICE)
    return 0 if path else 1


if __name__ == "__main__":
    sys.exit(main())
