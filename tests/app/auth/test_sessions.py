import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest
import uvicorn
from starlette.applications import Starlette

from app.auth import sessions
from app.auth.sessions import COOKIE, LASTS, SESSIONS, TICKET_LASTS, Sessions


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_login_ends_after_its_time_or_on_log_out() -> None:
    clock = Clock()
    logins = Sessions(clock)
    first, second = logins.begin(), logins.begin()
    assert first != second
    assert logins.holds(first)
    logins.end(first)
    assert not logins.holds(first)
    assert logins.holds(second)
    clock.now += LASTS
    assert not logins.holds(second)
    for invalid in (None, "", "guess"):
        assert not logins.holds(invalid)
        logins.end(invalid)


def test_a_ticket_works_once_and_expires() -> None:
    clock = Clock()
    logins = Sessions(clock)
    token = logins.begin()
    ticket = logins.ticket(token)
    assert logins.waits(ticket)
    assert logins.spend(ticket) == token
    assert not logins.waits(ticket)
    assert logins.spend(ticket) is None
    late = logins.ticket(token)
    clock.now += TICKET_LASTS
    assert not logins.waits(late)
    assert logins.spend(late) is None
    assert logins.spend("guess") is None


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server that exchanges tickets for cookies."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=[sessions.ROUTE]), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{sessions.PATH}"
        server.should_exit = True
        thread.join()


def exchange(address: str, ticket: str | bytes | None, **headers: str) -> tuple[int, str]:
    """Return the status and the cookie of the answer to a ticket, or to a GET if the ticket is None."""
    body = ticket.encode() if isinstance(ticket, str) else ticket
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as answer:
            return answer.status, answer.headers.get("Set-Cookie", "")
    except HTTPError as error:
        return error.code, error.headers.get("Set-Cookie", "")


def test_a_ticket_is_exchanged_for_a_cookie_that_scripts_and_other_sites_cannot_read(address: str) -> None:
    token = SESSIONS.begin()
    status, cookie = exchange(address, SESSIONS.ticket(token))
    assert status == 204
    assert cookie.startswith(f"{COOKIE}={token};")
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "secure" not in cookie.lower()
    behind_tls = {"X-Forwarded-Proto": "https"}
    assert "secure" in exchange(address, SESSIONS.ticket(token), **behind_tls)[1].lower()


def test_an_invalid_ticket_gets_no_cookie(address: str) -> None:
    token = SESSIONS.begin()
    ended, spent = SESSIONS.ticket(token), SESSIONS.ticket(token)
    assert exchange(address, spent)[0] == 204
    SESSIONS.end(token)
    for ticket in (b"", b"guess", b"\xff" * 43, b"x" * 1000, spent, ended, token):
        assert exchange(address, ticket) == (403, "")
    assert exchange(address, None) == (405, "")
