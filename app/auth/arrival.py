"""What is settled before Streamlit answers: whose connection it is, the token of this start, and whose tab it is."""

import logging
import secrets
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web.server.server_util import get_url

from app.auth import access, peers, sessions
from data import shared_links
from data.os_errors import explained
from data.private import private_folder, write_private
from data.settings import settings

# The parameter of an address that holds the token of this start.
TOKEN = "token"
_START = secrets.token_urlsafe(32)

# A tab that opened a link stays with it, whatever address it loads next, so that it never becomes an owner's by itself.
# This runs before Streamlit's own scripts read the address.
_TAB = f"""<script>
      (() => {{
        const query = new URLSearchParams(location.search), token = query.get("{shared_links.TOKEN}");
        if (token !== null) sessionStorage.setItem("ticketscope-link", token);
        const link = sessionStorage.getItem("ticketscope-link");
        if (token !== null || link === null) return;
        query.set("{shared_links.TOKEN}", link);
        history.replaceState(history.state, "", "?" + query + location.hash);
      }})()
    </script>""".encode()

log = logging.getLogger(__name__)


class Arrival:
    """ASGI middleware that names the account of a WebSocket, takes the token of this start, and keeps viewers' tabs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "websocket":
            await self.app(await _with_peer(scope), receive, send)
        elif scope["type"] == "http":
            answer = _opened(Request(scope)) or self.app
            await answer(_plain(scope), receive, _keeping_tabs(send))
        else:
            await self.app(scope, receive, send)


async def _with_peer(scope: Scope) -> Scope:
    """Return a scope whose header about the peer is the server's, whatever the visitor sent."""
    name = peers.HEADER.lower().encode()
    headers = [(key, value) for key, value in scope["headers"] if key.lower() != name]
    if access.is_open() and await run_in_threadpool(peers.is_own, scope.get("client"), scope.get("server")):
        headers.append((name, peers.OWN.encode()))
    return {**scope, "headers": headers}


def _opened(request: Request) -> Response | None:
    """Return the answer to an address with a token: the same address without it, and the cookie if the token is right.

    The redirection keeps the token out of the browser's history. It is relative, since a proxy may add a prefix.
    """
    tokens = request.query_params.getlist(TOKEN)
    if not tokens or request.method != "GET" or not access.is_open():
        return None
    rest = [(name, value) for name, value in request.query_params.multi_items() if name != TOKEN]
    page = quote(request.scope["path"].rpartition("/")[2])
    answer = RedirectResponse(f"./{page}{'?' if rest else ''}{urlencode(rest)}", status_code=303)
    if any(secrets.compare_digest(token.encode(), _START.encode()) for token in tokens):
        sessions.remember(answer, request, sessions.SESSIONS.begin())
    return answer


def _plain(scope: Scope) -> Scope:
    """Return a scope that asks for a page uncompressed, and even if the browser has it as an older version sent it."""
    if not any(name == b"accept" and b"text/html" in value for name, value in scope["headers"]):
        return scope
    conditions = (b"accept-encoding", b"if-none-match", b"if-modified-since")
    return {**scope, "headers": [header for header in scope["headers"] if header[0] not in conditions]}


def _keeping_tabs(send: Send) -> Send:
    """Return a function that sends an answer, and adds a script to it if it is a page."""
    start: Message | None = None

    async def sending(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                # Its length is known once the script is in the first part of the body.
                start = message
                return
        elif start is not None:
            body = message.get("body", b"")
            message = {**message, "body": body.replace(b"<head>", b"<head>\n    " + _TAB, 1)}
            headers = MutableHeaders(scope=start)
            if "content-length" in headers:
                headers["content-length"] = str(int(headers["content-length"]) + len(message["body"]) - len(body))
            await send(start)
            start = None
        await send(message)

    return sending


def publish() -> None:
    """Write the address with the token of this start to a private file for `up`; none if the dashboard has a login."""
    file = settings().dashboard_address
    try:
        file.unlink(missing_ok=True)
        if access.is_open():
            private_folder(file.parent)
            write_private(file, f"{get_url('localhost')}/?{TOKEN}={_START}")
    except OSError as error:
        # The disk may be full. The dashboard opens to its own account all the same.
        log.warning("the address with the token is not saved: %s", explained(error))
