"""Logins: tokens in the dashboard's process, and in the browser a cookie that no script can read.

A page comes over a WebSocket, which cannot set cookies. A login with the password therefore yields a ticket, which the
page sends back in a request of its own, and the answer to that sets the cookie.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

COOKIE = "ticketscope_session"
# The address that exchanges a ticket for the cookie.
PATH = "/session"
# Seconds after which a login ends and a ticket expires.
LASTS, TICKET_LASTS = 12 * 3600.0, 60.0
# The length of a ticket; a longer body is not read to its end.
_TICKET_CHARACTERS = 43


@dataclass
class Sessions:
    """All logins and tickets of this process; a login ends after LASTS seconds or by logging out."""

    clock: Callable[[], float] = time.monotonic
    _ends: dict[str, float] = field(default_factory=dict)
    _tickets: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> str:
        """Return the token of a new login."""
        token = secrets.token_urlsafe()
        with self._lock:
            now = self.clock()
            self._ends = {old: end for old, end in self._ends.items() if end > now}
            self._ends[token] = now + LASTS
        return token

    def holds(self, token: str | None) -> bool:
        """Return whether a token belongs to a login that has not ended."""
        with self._lock:
            return token is not None and self._ends.get(token, 0.0) > self.clock()

    def end(self, token: str | None) -> None:
        """End the login of a token, in all windows of its browser."""
        with self._lock:
            self._ends.pop(token or "", None)

    def ticket(self, token: str) -> str:
        """Return a new ticket, which can be exchanged for this token once."""
        ticket = secrets.token_urlsafe()
        with self._lock:
            now = self.clock()
            self._tickets = {old: held for old, held in self._tickets.items() if held[1] > now}
            self._tickets[ticket] = token, now + TICKET_LASTS
        return ticket

    def waits(self, ticket: str) -> bool:
        """Return whether a ticket can still be exchanged."""
        with self._lock:
            return self._tickets.get(ticket, ("", 0.0))[1] > self.clock()

    def spend(self, ticket: str) -> str | None:
        """Return the token of a ticket and discard the ticket; None if it is unknown, expired or exchanged before."""
        with self._lock:
            token, end = self._tickets.pop(ticket, ("", 0.0))
            return token if end > self.clock() else None


# All pages run in this process.
SESSIONS = Sessions()


async def _exchange(request: Request) -> Response:
    ticket = b""
    try:
        async for part in request.stream():
            ticket += part
            if len(ticket) > _TICKET_CHARACTERS:
                break
    except ClientDisconnect:
        return Response(status_code=400)
    token = SESSIONS.spend(ticket.decode("ascii", "replace"))
    if token is None or not SESSIONS.holds(token):
        return Response("this ticket has expired; log in again", status_code=403, media_type="text/plain")
    answer = Response(status_code=204)
    remember(answer, request, token)
    return answer


def remember(answer: Response, request: Request, token: str) -> None:
    """Set the cookie of a login in the answer to a request."""
    secure = "https" in (request.url.scheme, request.headers.get("X-Forwarded-Proto"))
    answer.set_cookie(COOKIE, token, max_age=int(LASTS), httponly=True, samesite="strict", secure=secure)


ROUTE = Route(PATH, _exchange, methods=["POST"])


def script(ticket: str) -> str:
    """Return JavaScript that sends a ticket once from the page that runs it, however often it does."""
    return (
        f"if (window.ticketscopeTicket !== '{ticket}') {{ window.ticketscopeTicket = '{ticket}'; "
        f"fetch('{PATH}', {{method: 'POST', body: '{ticket}'}}).catch(() => {{ window.ticketscopeTicket = null }}) }}"
    )
