"""Photograph the dashboard over a real run for README and documents: python -m docs.images.pictures.

It starts everything over an empty home, waits for the demo, trains all figures of the paper at small scale on digits,
and takes each picture in the light and in the dark colours, which takes some minutes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page

from app.guide.tour import COOKIE
from data.database.database import Database
from data.queries import studies
from tests.browser.chromium import launched, open_tab, ready
from tests.browser.serving import ROOT, served

FOLDER = Path(__file__).parent
UP = ("-m", "tasks", "up", "--workers", "2", "--device", "cpu", "--port")
FIGURES = ("-m", "tasks", "launch", "paper:all", "--scale", "small", "--wait")
LONGEST = 1200.0
# A window in which a page needs no scrolling.
TALL = 3600
# Pixels around a part of a page.
MARGIN = 16


@dataclass(frozen=True)
class Picture:
    """A part of a page; study: the name of the study whose page it is, None for the page of `path`.

    show: returns the part. width: of the window in pixels. height: of the picture in pixels, from the top of the part;
    None for the part's own.
    """

    path: str
    show: Callable[[Page], Locator]
    study: str | None = None
    width: int = 1280
    height: int | None = None


def tab(name: str, part: str, index: int = 0) -> Callable[[Page], Locator]:
    """Return what shows a part of a study's tab; part: a CSS selector, of whose matches `index` is meant."""

    def show(page: Page) -> Locator:
        open_tab(page, name)
        return page.locator(part).nth(index)

    return show


DEMO, PAPER = "Demo: is the winning ticket real?", "Paper, all figures (small, digits)"
PICTURES = {
    "overview": Picture("", lambda page: page.locator("[data-testid=stMainBlockContainer]"), DEMO, height=1320),
    "paper": Picture("/paper?scale=small", lambda page: page.locator("[data-testid=stMainBlockContainer]"), height=900),
    "overlap": Picture("", tab("Overlap", ".st-key-tab-overlap"), DEMO, height=620),
    "verdict": Picture("", tab("Verdicts", ".st-key-tab-verdicts"), PAPER, 1120, 760),
    "mask-level": Picture("", tab("Overlap", "h2:has-text('dense ancestors')"), PAPER, 1120, 430),
    "plan-warns": Picture("/new_study?paper=fig1&scale=paper", lambda page: page.locator(".st-key-plan")),
}


def take(browser: Browser, address: str, ids: dict[str, str]) -> None:
    """Take all pictures, each in the light and the dark colours; ids: of studies by their names."""
    for name, picture in PICTURES.items():
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": picture.width, "height": TALL},
                color_scheme="dark" if scheme == "dark" else "light",
                device_scale_factor=1.25,
            )
            context.add_cookies([{"name": COOKIE, "value": "closed", "url": address}])
            page = context.new_page()
            page.goto(address + (f"/study?study={ids[picture.study]}" if picture.study else picture.path))
            ready(page)
            part = picture.show(page)
            part.wait_for()
            # Charts are drawn after their page.
            page.wait_for_timeout(2000)
            box = part.bounding_box()
            assert box is not None
            clip = {
                "x": max(0, box["x"] - MARGIN),
                "y": max(0, box["y"] - MARGIN),
                "width": min(picture.width, box["width"] + 2 * MARGIN),
                "height": picture.height or box["height"] + 2 * MARGIN,
            }
            target = FOLDER / f"{name}{'-dark' if scheme == 'dark' else ''}.png"
            page.screenshot(path=target, full_page=True, clip=clip)  # type: ignore[arg-type]
            print(target.relative_to(ROOT), flush=True)
            context.close()


def wait(database: Database, name: str) -> str:
    """Return the id of a study once it is done; TimeoutError after LONGEST seconds."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        if database.path.exists():
            listed = studies.studies(database)
            done = listed[(listed["name"] == name) & (listed["state"] == "done")]
            if not done.empty:
                return str(done["study_id"].iloc[0])
        time.sleep(1)
    raise TimeoutError(f"the study {name!r} is not done after {LONGEST:.0f} seconds")


def main() -> None:
    """Train what the pictures show, unless the home has it already, and take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home to keep, so that nothing is trained again the next time")
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        home = (parser.parse_args().home or Path(folder)).resolve()
        with served(*UP, home=home) as address:
            database = Database(home / "ticketscope.duckdb")
            ids = {DEMO: wait(database, DEMO)}
            environment = {**os.environ, "TICKETSCOPE_HOME": str(home)}
            if PAPER not in set(studies.studies(database)["name"]):
                subprocess.run([sys.executable, *FIGURES], cwd=ROOT, env=environment, check=True)
            ids[PAPER] = wait(database, PAPER)
            take(browser, address, ids)


if __name__ == "__main__":
    main()
