"""Who a visitor to a dashboard without a password is: with the token in the address, and in a tab of a link."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from data import shared_links
from data.database.database import Database
from data.settings import Settings
from tests.browser.chromium import ready
from tests.browser.conftest import Watched, finished_home, watching
from tests.browser.serving import DASHBOARD, served
from tests.browser.test_share import LOCKED, make_link, proxied, stranger
from tests.machine import free_port

pytestmark = pytest.mark.browser

FORWARDED = b"X-Forwarded-For: 203.0.113.9"


def heading(page: Page) -> str:
    """Return the title of a page once it is drawn."""
    ready(page)
    return page.locator("h1").first.inner_text()


def token_of(home: Path) -> str:
    """Return the part of the address that holds the token of the dashboard that runs on a home."""
    return Settings(TICKETSCOPE_HOME=str(home)).dashboard_address.read_text().partition("/?")[2]


def test_the_token_and_links_in_a_browser_that_is_not_the_owners_until_the_dashboard_is_restarted(
    browser: Browser, tmp_path: Path
) -> None:
    home, port = finished_home(tmp_path), free_port()
    database = Database(Settings(TICKETSCOPE_HOME=str(home)).database)
    link = shared_links.create(database, ["finished-before"])[1]
    with proxied(f"http://localhost:{port}", FORWARDED) as address, stranger(browser) as page:
        with served(*DASHBOARD, home=home, port=port):
            page.goto(address)
            assert heading(page) == "Locked"
            expect(page.get_by_text("open the address with token= that ticketscope up printed")).to_be_visible()
            assert page.get_by_role("link", name="New study").count() == 0

            old = token_of(home)
            page.goto(f"{address}/study?{old}&study=finished-before")
            ready(page)
            expect(page.locator(".st-key-study_head")).to_contain_text("Finished before")
            assert page.url == f"{address}/study?study=finished-before"
            # The history holds an empty page, the locked one and this one; none has the token.
            assert page.evaluate("history.length") == 3
            page.go_back()
            assert heading(page) == "Studies"
            assert page.url == f"{address}/"
            [cookie] = [cookie for cookie in page.context.cookies() if cookie["name"] == "ticketscope_session"]
            assert cookie["httpOnly"]
            assert cookie["sameSite"] == "Strict"

            page.reload()
            assert heading(page) == "Studies"
            second = page.context.new_page()
            second.goto(f"{address}/new_study")
            assert heading(second) == "New study"
            second.get_by_role("link", name="Log out").click()
            expect(second.locator("h1").first).to_have_text("Locked")
            page.goto(f"{address}/?{old}")
            assert heading(page) == "Studies"
            with stranger(browser) as other:
                other.goto(f"{address}/?token=guess")
                assert heading(other) == "Locked"
                assert other.url == f"{address}/"

            # A viewer's tab beside it, at the address that needs no token.
            tab = page.context.new_page()
            tab.goto(f"http://localhost:{port}/workers?share={link}")
            assert heading(tab) == LOCKED
            tab.get_by_role("link", name="Back to what the link shows").click()
            expect(tab.locator(".st-key-study_head")).to_contain_text("Finished before")
            ready(tab)
        expect(tab.locator("[data-testid=stApp]")).not_to_have_attribute("data-test-connection-state", "CONNECTED")
        with served(*DASHBOARD, home=home, port=port):
            ready(tab)
            expect(tab.get_by_text("Shared with you to read")).to_be_visible()
            expect(tab.locator(".st-key-study_head")).to_contain_text("Finished before")
            assert tab.get_by_role("link", name="New study").count() == 0
            tab.close()

            page.goto(f"{address}/?{old}")
            assert heading(page) == "Locked"
            page.goto(f"{address}/?{token_of(home)}")
            assert heading(page) == "Studies"


def test_a_viewers_tab_stays_a_viewers_in_the_owners_own_browser(watched: Watched) -> None:
    address = make_link(watched, "to look at it myself")
    tab = watched.page.context.new_page()
    tab.goto(address)
    ready(tab)
    expect(tab.locator(".st-key-study_head")).to_contain_text("Finished before")
    # The token is taken out of the address in every way that a tab has.
    for path in ("/", "/new_study", "/workers", "/study?study=finished-before"):
        tab.goto(f"{watched.address}{path}")
        assert heading(tab) == LOCKED, path
        assert tab.locator(".st-key-launch button").count() == 0
    tab.reload()
    assert heading(tab) == LOCKED
    tab.evaluate("history.replaceState(null, '', '/')")
    tab.reload()
    assert heading(tab) == LOCKED
    expect(tab.get_by_text("an owner opens the dashboard in a new tab")).to_be_visible()
    tab.get_by_role("link", name="Back to what the link shows").click()
    expect(tab.locator(".st-key-study_head")).to_contain_text("Finished before")
    tab.reload()
    ready(tab)
    expect(tab.locator(".st-key-study_head")).to_contain_text("Finished before")
    assert tab.get_by_role("link", name="New study").count() == 0
    tab.evaluate("window.location = '/'")
    tab.wait_for_url("**/?share=*")
    assert heading(tab) == LOCKED
    tab.go_back()
    ready(tab)
    assert tab.get_by_role("link", name="New study").count() == 0
    tab.close()

    # Another tab of the same account is the owner's.
    fresh = watched.page.context.new_page()
    fresh.goto(f"{watched.address}/")
    assert heading(fresh) == "Studies"
    fresh.close()
    watched.page.reload()
    expect(watched.page.get_by_role("link", name="New study")).to_be_visible()


def test_a_browser_that_has_the_page_of_an_older_version_loads_the_new_one(browser: Browser, dashboard: str) -> None:
    with watching(browser, dashboard) as watched:
        headers = watched.page.request.get(dashboard).headers
        conditions = {"If-None-Match": headers["etag"], "Accept": "text/html", "Accept-Encoding": "gzip"}
        for path in ("/", "/shared", "/study?study=finished-before"):
            answer = watched.page.request.get(dashboard + path, headers=conditions)
            assert answer.status == 200
            assert answer.text().count("ticketscope-link") == 2
            assert int(answer.headers["content-length"]) == len(answer.body())
