"""The paper's figures in the browser: launched at small scale, then drawn and judged from their runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Watched, up, watching

pytestmark = pytest.mark.browser


@pytest.fixture
def untrained(browser: Browser, tmp_path: Path) -> Iterator[Watched]:
    """A browser page of a dashboard of its own, where no other test has trained stages of the figures."""
    with up(tmp_path) as address, watching(browser, address) as page:
        yield page


def test_a_figure_is_launched_at_small_scale_and_its_card_shows_the_result(untrained: Watched) -> None:
    watched, page = untrained, untrained.page
    watched.open("/paper?scale=small")
    card = page.locator(".st-key-figure-main-fig4")
    expect(card).to_contain_text("0 of 6 trainings done")
    card.get_by_role("link", name="Figure 4, main text").click()
    page.wait_for_url("**/figure?figure=main-fig4**")
    watched.ready()
    # The page explains the scale before the launch.
    expect(page.get_by_text("3 seeds instead of 5")).to_be_visible()
    expect(page.locator(".st-key-figure_plan")).to_contain_text("paper:main-fig4 --scale small")
    page.locator(".st-key-launch_figure button").click()
    page.wait_for_url("**/study?study=*")
    expect(page.locator(".st-key-study_head")).to_contain_text("done", timeout=60_000)

    watched.open("/figure?figure=main-fig4&scale=small")
    expect(page.get_by_text("6 of 6 trainings done")).to_be_visible()
    bars = page.locator(".st-key-figure-panel-retention-0 svg.marks .mark-rect path")
    expect(bars.first).to_be_attached()
    # Five p at two learning rates give ten bars, each with a mark of chance and a white outline of that mark.
    assert bars.count() == 30
    verdict = page.locator(".st-key-figure-main-fig4-B1")
    expect(verdict).to_contain_text("n = 3")
    verdict.get_by_text("Rule and numbers").click()
    expect(verdict).to_contain_text("Student's t")
    watched.open("/paper?scale=small")
    expect(page.locator(".st-key-figure-main-fig4")).to_contain_text("6 of 6 trainings done")


def test_the_chosen_settings_stay_in_the_address(watched: Watched) -> None:
    page = watched.page
    watched.open("/figure?figure=fig13&scale=paper")
    page.locator("[data-testid=stSelectbox]", has_text="Settings").locator("input").click()
    page.get_by_role("option", name="Small on Digits").click()
    page.wait_for_url("**scale=small**")
    watched.ready()
    page.reload()
    watched.ready()
    expect(page.get_by_text("Trained on digits in place of the paper's datasets.")).to_be_visible()
