"""A dashboard that others can reach."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import watching

pytestmark = pytest.mark.browser


def test_an_address_sent_to_someone_opens_after_the_password_and_not_before(browser: Browser, locked: str) -> None:
    with watching(browser, locked) as watched:
        page = watched.page
        watched.open("/study?study=finished-before")
        expect(page.get_by_label("Password", exact=True)).to_be_visible()
        expect(page.get_by_text("Finished before")).to_have_count(0)
        expect(page.get_by_role("link", name="New study")).to_have_count(0)
        page.get_by_label("Password", exact=True).fill("guess")
        page.keyboard.press("Enter")
        expect(page.get_by_text("That is not the password")).to_be_visible()
        page.get_by_label("Password", exact=True).fill("open sesame")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Finished before")).to_be_visible(timeout=15_000)
        expect(page.get_by_role("link", name="New study")).to_be_visible()
