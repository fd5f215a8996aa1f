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
    held = Sessions(clock)
    token, other = held.begin(), held.begin()
    assert token != other
    assert held.holds(token)
    held.end(token)
    assert not held.holds(token)
    assert held.holds(other)
    clock.now += LASTS
    assert not held.holds(other)
    for nobody in (None, "", "guess"):
        assert not held.holds(nobody)
        held.end(nobody)


def test_a_ticket_works_once_and_expires() -> None:
    clock = Clock()
    held = Sessions(clock)
    token = held.begin()
    ticket = held.ticket(token)
    assert held.waits(ticket)
    assert held.spend(ticket) == token
    assert not held.waits(ticket)
    assert held.spend(ticket) is None
    late = held.ticket(token)
    clock.now += TICKET_LASTS
    assert not held.waits(late)
    assert held.spend(late) is None
    assert held.spend("guess") is None


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server that trades tickets."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=[sessions.ROUTE]), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [chosen]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{chosen.getsockname()[1]}{sessions.PATH}"
        server.should_exit = True
        thread.join()


def sent(address: str, ticket: str | bytes | None, **headers: str) -> tuple[int, str]:
    """Return the status and the cookie that a ticket gets, or a GET where there is none."""
    body = ticket.encode() if isinstance(ticket, str) else ticket
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as answer:
            return answer.status, answer.headers.get("Set-Cookie", "")
    except HTTPError as error:
        return error.code, error.headers.get("Set-Cookie", "")


def test_a_ticket_is_exchanged_for_a_cookie_that_scripts_and_other_sites_cannot_read(address: str) -> None:
    token = SESSIONS.begin()
    status, cookie = sent(address, SESSIONS.ticket(token))
    assert status == 204
    assert cookie.startswith(f"{COOKIE}={token};")
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "secure" not in cookie.lower()
    behind_tls = {"X-Forwarded-Proto": "https"}
    assert "secure" in sent(address, SESSIONS.ticket(token), **behind_tls)[1].lower()


def test_an_invalid_ticket_gets_no_cookie(address: str) -> None:
    token = SESSIONS.begin()
    ended, spent = SESSIONS.ticket(token), SESSIONS.ticket(token)
    assert sent(address, spent)[0] == 204
    SESSIONS.end(token)
    for ticket in (b"", b"guess", b"\xff" * 43, b"x" * 1000, spent, ended, token):
        assert sent(address, ticket) == (403, "")
    assert sent(address, None) == (405, "")
