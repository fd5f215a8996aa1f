"""A shared link in a browser that has never opened the dashboard: what it opens, and what stays closed."""

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from data.database.database import Database
from tests.browser.chromium import new_context, open_tab, ready
from tests.browser.conftest import Watched
from tests.data.bundles.made_bundles import exported
from tests.data.made_results import made_plan

pytestmark = pytest.mark.browser

LOCKED = "Not part of this link"


@contextmanager
def stranger(browser: Browser) -> Iterator[Page]:
    """Open a page in a new browser profile, without the owner's cookies, for the block."""
    context = new_context(browser, viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def make_link(watched: Watched, note: str) -> str:
    """Share the finished study on its page, and return the link's address."""
    page = watched.page
    watched.open("/study?study=finished-before")
    page.locator(".st-key-share button").click()
    page.get_by_role("textbox", name="Note").fill(note)
    page.locator(".st-key-share_create button").click()
    code = page.locator(".st-key-share_link code")
    expect(code).to_contain_text("/shared?share=")
    expect(page.get_by_text("This link works on this machine only")).to_be_visible()
    address = code.inner_text().strip()
    table = address.replace("/shared?", "/data/accuracy.parquet?")
    expect(page.locator(".st-key-share_code code")).to_contain_text(f'pd.read_parquet("{table}")')
    return address


def test_a_stranger_reads_only_the_shared_study_until_the_link_is_revoked(watched: Watched, browser: Browser) -> None:
    address = make_link(watched, "for a stranger")
    refused: dict[str, str] = {}
    with stranger(browser) as page:
        page.goto(address)
        ready(page)
        expect(page.locator(".st-key-study_head")).to_contain_text("Finished before")
        expect(page.get_by_text("for a stranger")).to_be_visible()
        open_tab(page, "Accuracy")
        expect(page.locator(".st-key-accuracy-panel-0 svg.marks path").first).to_be_attached()
        for key in ("share", "study_copy", "study_compare", "cancel", "retry", "new_study"):
            assert page.locator(f".st-key-{key} button").count() == 0, key
        assert page.get_by_role("link", name="Studies").count() == 0
        token = re.search(r"share=(.+)$", address)[1]

        # The token opens no other page, and no study by its id.
        pages = [
            "/",
            "/studies",
            "/new_study?preset=demo",
            "/compare",
            "/paper",
            "/figure?figure=fig7",
            "/links",
            "/workers",
        ]
        for path in (*pages, "/glossary", "/study?study=finished-before", "/study?study=another"):
            page.goto(f"{watched.address}{path}{'&' if '?' in path else '?'}share={token}")
            ready(page)
            refused[path] = page.locator("h1").first.inner_text()
            assert page.locator(".st-key-launch button").count() == 0
        assert set(refused.values()) == {LOCKED}, refused

        # The link works again at the next page, and its token is in the address again.
        page.get_by_role("link", name="Back to what the link shows").click()
        expect(page.locator(".st-key-study_head")).to_contain_text("Finished before")
        assert page.url == address
        for wrong in ("garbage", token[:-1], token.swapcase(), "%27%20OR%201%3D1"):
            page.goto(f"{watched.address}/shared?share={wrong}")
            ready(page)
            expect(page.locator("h1").first).to_have_text("This link shows nothing")

        page.goto(address)
        ready(page)
        expect(page.locator(".st-key-study_head")).to_contain_text("Finished before")
        watched.open("/links")
        row = watched.page.locator("[class*=st-key-link-]", has_text="for a stranger").first
        expect(row).to_contain_text("last used")
        row.get_by_role("button", name="Revoke").click()
        expect(watched.page.locator("[class*=st-key-link-]", has_text="for a stranger").first).to_contain_text(
            "revoked"
        )
        # The open page closes by itself.
        expect(page.locator("h1").first).to_have_text("This link shows nothing")
        assert page.locator(".st-key-study_head").count() == 0


@contextmanager
def proxied(address: str, header: bytes) -> Iterator[str]:
    """Run a proxy that adds a header to the first request of each connection for the block; yield its address."""
    host, port = address.removeprefix("http://").split(":")

    def pump(source: socket.socket, target: socket.socket, first: bytes) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                target.sendall(part.replace(b"\r\n", b"\r\n" + first + b"\r\n", 1) if first else part)
                first = b""
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as inner:
                back = threading.Thread(target=pump, args=(inner, self.request, b""), daemon=True)
                back.start()
                pump(self.request, inner, header)
                back.join(5)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("header", [b"X-Forwarded-For: 203.0.113.9", b"Via: 1.1 tunnel"])
def test_without_a_password_the_dashboard_is_locked_behind_a_proxy(
    dashboard: str, browser: Browser, header: bytes
) -> None:
    with proxied(dashboard, header) as address, stranger(browser) as page:
        page.goto(address)
        ready(page)
        assert page.locator("h1").first.inner_text() == "Locked"


def test_a_bundle_is_uploaded_and_its_study_opens_without_training(watched: Watched, tmp_path: Path) -> None:
    there = Database(tmp_path / "there.duckdb")
    content = exported(there, made_plan(name="From a cluster"), lab="Lab A")
    page = watched.page
    watched.open("/")
    page.get_by_role("button", name="Import", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(
        [
            {"name": "cut.zip", "mimeType": "application/zip", "buffer": content[:-1]},
            {"name": "study.zip", "mimeType": "application/zip", "buffer": content},
        ]
    )
    dialog.locator(".st-key-import_yes button").click()
    message = page.locator(".st-key-imported_message")
    expect(message).to_contain_text("Imported From a cluster from Lab A")
    expect(message).to_contain_text("cut.zip cannot be imported")
    message.get_by_role("link", name="Open From a cluster").click()
    page.wait_for_url("**/study?study=*")
    expect(page.get_by_role("tab", name="Overview")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".st-key-study_head")).to_contain_text("done")
