"""The Verdicts tab as a person uses it: a click queues the seeds that would decide a verdict."""

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import open_tab
from tests.browser.conftest import Watched

pytestmark = pytest.mark.browser


def test_a_click_queues_the_seeds_that_would_decide_a_verdict(watched: Watched) -> None:
    page = watched.page
    watched.open("/study?study=finished-before")
    open_tab(page, "Verdicts")
    expect(page.locator(".st-key-verdict_summary")).to_contain_text("undecided")
    page.get_by_role("button", name="Add 1 seed").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Finished before (3 seeds)")
    expect(dialog).to_contain_text("All that is trained already is reused")
    expect(dialog.locator(".st-key-seeds_numbers")).to_contain_text("Trainings")
    dialog.get_by_role("button", name="Launch it").click()
    page.wait_for_url(lambda address: "study=" in address and "finished-before" not in address)
    expect(page.locator(".st-key-study_head")).to_contain_text("Finished before (3 seeds)")
    expect(dialog).to_be_hidden()
    # The new study is trained to its end, and its verdicts are over three seeds.
    expect(page.locator(".st-key-study_head")).to_contain_text("done", timeout=120_000)
    open_tab(page, "Verdicts")
    expect(page.locator(".st-key-tab-verdicts")).to_contain_text("n = 3")
