"""Logins by password and by OIDC at a dashboard that others can reach."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import finished_home, watching
from tests.browser.serving import DASHBOARD, served, wait_for
from tests.machine import free_port

pytestmark = pytest.mark.browser

SECRETS = """
[auth]
redirect_uri = "http://localhost:{port}/oauth2callback"
cookie_secret = "of this test alone, and long enough"
client_id = "ticketscope"
client_secret = "another secret"
server_metadata_url = "{provider}"
"""
STYLES = "https://cdn.jsdelivr.net/npm/@picocss/pico@2/css/pico.min.css"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[str]:
    """The configuration's address of an OIDC provider with the users Ada, Eve, and Mallory, who claims to be Ada."""
    port = free_port()
    users = [
        {"sub": "ada", "email": "ada@lab.example", "email_verified": True},
        {"sub": "eve", "email": "eve@elsewhere.example", "email_verified": True},
        {"sub": "mallory", "email": "ada@lab.example", "email_verified": False},
    ]
    claims = [part for user in users for part in ("--user-claims", json.dumps(user))]
    log = tmp_path / "provider.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *claims], stdout=output, stderr=output
        )
        try:
            address = f"http://localhost:{port}/.well-known/openid-configuration"
            wait_for(address, process, log)
            yield address
        finally:
            process.terminate()
            process.wait()


@pytest.fixture
def federated(tmp_path: Path, provider: str) -> Iterator[str]:
    """The address of a dashboard whose owner logs in at the provider, although a password is set too."""
    port = free_port()
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(SECRETS.format(port=port, provider=provider))
    login = {
        "TICKETSCOPE_OWNERS": "ada@lab.example",
        "STREAMLIT_SECRETS_FILES": str(secrets),
        "TICKETSCOPE_PASSWORD": "open sesame",
    }
    with served(*DASHBOARD, home=finished_home(tmp_path), port=port, **login) as address:
        yield address


def test_an_address_opens_only_after_the_password(browser: Browser, locked: str) -> None:
    with watching(browser, locked) as watched:
        page = watched.page
        watched.open("/study?study=finished-before")
        expect(page.get_by_label("Password", exact=True)).to_be_visible()
        expect(page.get_by_text("Finished before")).to_have_count(0)
        expect(page.get_by_role("link", name="New study")).to_have_count(0)
        page.get_by_label("Password", exact=True).fill("guess")
        page.keyboard.press("Enter")
        expect(page.get_by_text("The password is wrong")).to_be_visible()
        page.get_by_label("Password", exact=True).fill("open sesame")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Finished before")).to_be_visible()
        expect(page.get_by_role("link", name="New study")).to_be_visible()


def test_a_login_lasts_in_its_browser_until_log_out(browser: Browser, locked: str) -> None:
    with watching(browser, locked) as watched:
        page = watched.page
        watched.open("/")
        page.get_by_label("Password", exact=True).fill("open sesame")
        page.keyboard.press("Enter")
        studies = page.get_by_role("heading", name="Studies")
        expect(studies).to_be_visible()
        watched.ready()
        page.wait_for_function("fetch('/_stcore/health').then(answer => answer.ok)")
        (cookie,) = [cookie for cookie in page.context.cookies() if cookie["name"] == "ticketscope_session"]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        page.reload()
        expect(studies).to_be_visible()
        second = page.context.new_page()
        second.goto(f"{locked}/study?study=finished-before")
        expect(second.get_by_role("heading", name="Finished before")).to_be_visible()
        with watching(browser, locked) as stranger:
            stranger.open("/")
            expect(stranger.page.get_by_label("Password", exact=True)).to_be_visible()
        page.get_by_role("link", name="Log out").click()
        expect(page.get_by_label("Password", exact=True)).to_be_visible()
        # The other window is logged out at its next click.
        second.get_by_role("tab", name="Accuracy").click()
        expect(second.get_by_label("Password", exact=True)).to_be_visible()
        second.close()
        page.reload()
        expect(page.get_by_label("Password", exact=True)).to_be_visible()


def test_only_users_on_the_list_of_owners_get_in_by_oidc(browser: Browser, federated: str) -> None:
    with watching(browser, federated) as watched:
        page = watched.page
        # The provider's own pages load a style sheet from elsewhere; they get an empty one.
        page.route(STYLES, lambda route: route.fulfill(body="", content_type="text/css"))

        def log_in(who: str) -> None:
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("button", name=who, exact=True).first.click()
            page.wait_for_url(f"{federated}/**")
            watched.ready()

        def leave() -> None:
            # The provider has a login of its own and asks whether to end it.
            page.get_by_role("button", name="End session").click()
            page.wait_for_url(f"{federated}/**")
            expect(page.get_by_role("button", name="Log in")).to_be_visible()

        watched.open("/study?study=finished-before")
        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        expect(page.get_by_text("Finished before")).to_have_count(0)
        # A provider comes before a password.
        expect(page.get_by_label("Password", exact=True)).to_have_count(0)
        for stranger in ("eve", "mallory"):
            log_in(stranger)
            expect(page.get_by_text("is not among the owners")).to_be_visible()
            expect(page.get_by_role("link", name="New study")).to_have_count(0)
            page.get_by_role("button", name="Log out").click()
            leave()
        page.goto(f"{federated}/study?study=finished-before")
        watched.ready()
        log_in("ada")
        # The login ends at the root, and the tab returns to the address that was opened before it.
        expect(page.get_by_role("heading", name="Finished before")).to_be_visible()
        assert page.url == f"{federated}/study?study=finished-before"
        watched.open("/")
        expect(page.get_by_role("heading", name="Studies")).to_be_visible()
        page.reload()
        expect(page.get_by_role("link", name="New study")).to_be_visible()
        page.get_by_role("link", name="Log out").click()
        leave()
        assert set(watched.outside) == {STYLES}
        watched.outside.clear()
