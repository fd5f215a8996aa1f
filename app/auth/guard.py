"""The security headers of every answer of the server, and what is refused before Streamlit sees it."""

import re
import threading
from pathlib import Path
from urllib.parse import quote, urlsplit

from google.protobuf.message import DecodeError
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.config import get_option
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.util import calc_hash

from data.settings import settings

# A page may load its own scripts, styles, pictures and fonts, and nothing from other hosts: even if a study's name were
# interpreted as HTML, it could not send anything away. Vega compiles expressions, which needs eval.
POLICY = (
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'self'",
)

HEADERS = {
    # An address may carry the token of a link.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}

# These report on the process and let programs press buttons, which the dashboard does not use.
BLOCKED = ("/_stcore/metrics", "/_stcore/agent", "/_stcore/script-health-check")


# The folders below which Streamlit serves files, some of them HTML.
FILES = ("_stcore/", "app/static/", "component/", "media/", "static/")
# The messages that pages send. Streamlit knows others, with which any visitor could empty the caches of all, restart or
# disconnect the server, or ask for the state of the repository.
ALLOWED = ("rerun_script", "stop_script", "app_heartbeat", "file_urls_request", "backend_operation_request")
# The most files that one page may send while it is open, each as large as Streamlit's settings allow.
MOST_UPLOADS = 100

# Streamlit tells browsers the path of the main script, its hash, and ids that it makes from those of the machine. A
# path may name a person, and its hash lets a guess be checked, so browsers get an alias of the hash.
_MAIN = str(Path(__file__).resolve().parents[1] / "main.py")
_HASH, _ALIAS = calc_hash(_MAIN).encode(), calc_hash("main.py").encode()

_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]+")
_UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/")


class Uploaders:
    """The pages of owners, by Streamlit's id of their session, and how many files each has sent."""

    def __init__(self) -> None:
        self._sent: dict[str, int] = {}
        self._lock = threading.Lock()

    def admit(self, session: str) -> None:
        """Let a page send files, since an owner has it open."""
        with self._lock:
            self._sent.setdefault(session, 0)
            # Ids are never used again; those of pages that were closed long ago are dropped.
            while len(self._sent) > 10_000:
                del self._sent[next(iter(self._sent))]

    def may_send(self, session: str) -> bool:
        """Count a file, and return whether the page may send it."""
        with self._lock:
            if session not in self._sent or self._sent[session] >= MOST_UPLOADS:
                return False
            self._sent[session] += 1
            return True


# All pages run in this process.
UPLOADERS = Uploaders()


class Guard:
    """ASGI middleware that blocks addresses, foreign pages and unneeded messages, and adds headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket" and not is_own(Headers(scope=scope)):
            # Before it is accepted, closing a WebSocket answers 403.
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "websocket":
            await self.app(scope, _filtered(receive), _nameless(send))
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {**HEADERS, "Content-Security-Policy": policy(Headers(scope=scope).get("host", ""))}

        flat = flattened(scope["path"])

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                if flat and answer.get("content-type", "").startswith("text/html"):
                    # The dashboard's frame asks for its files beside the address, so below another it stays blank.
                    message["status"] = 307
                    answer["location"] = flat
                answer.update(headers)
            await send(message)

        # Behind a proxy, the paths of the dashboard may begin with a prefix.
        if any(address in scope["path"] for address in BLOCKED):
            await PlainTextResponse("not served here", status_code=404)(scope, receive, sending)
            return
        upload = _UPLOAD.search(scope["path"])
        if upload and scope["method"] == "PUT" and not UPLOADERS.may_send(upload[1]):
            await PlainTextResponse("this page may send no files", status_code=403)(scope, receive, sending)
            return
        await self.app(scope, receive, sending)


def flattened(path: str) -> str | None:
    """Return the relative address without inner slashes of one that no page can have, None for all others."""
    base = str(get_option("server.baseUrlPath")).strip("/")
    inner = f"{path.strip('/')}/".removeprefix(f"{base}/" if base else "").strip("/")
    is_file = "." in inner.rpartition("/")[2] or inner.startswith(FILES)
    return "../" * inner.count("/") + quote(inner.replace("/", " ")) if "/" in inner and not is_file else None


def policy(host: str) -> str:
    """Return the content security policy of a page that was requested from a host; it may connect to no other."""
    hosts = [name for name in (host, _configured()) if name and _HOST.fullmatch(name)]
    sockets = [f"{scheme}://{name}" for name in dict.fromkeys(hosts) for scheme in ("ws", "wss")]
    return "; ".join((*POLICY, " ".join(("connect-src 'self'", *sockets, "data: blob:"))))


def is_own(headers: Headers) -> bool:
    """Return whether a WebSocket was opened by a page of this dashboard, or by a program that is no browser.

    A browser names the origin of the page and lets no page change it. It must be the host that the request names, as
    such or as a proxy reports it, or the host of TICKETSCOPE_URL. Another port of this machine is another origin.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    own = (headers.get("host"), headers.get("x-forwarded-host"), _configured())
    return urlsplit(origin).netloc.lower() in [name.lower() for name in own if name]


def _configured() -> str:
    return urlsplit(settings().url or "").netloc


def _filtered(receive: Receive) -> Receive:
    """Return a function that receives the messages of a page, and drops all that pages do not send."""

    async def receiving() -> Message:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            if (content := message.get("bytes")) and _is_allowed(content):
                return {**message, "bytes": content.replace(_ALIAS, _HASH)}

    return receiving


def _nameless(send: Send) -> Send:
    """Return a function that sends messages to a page without the path of the program and the ids of the machine."""

    async def sending(message: Message) -> None:
        if content := message.get("bytes"):
            message = {**message, "bytes": without_places(content)}
        await send(message)

    return sending


def without_places(content: bytes) -> bytes:
    """Return a message to a page without the path of the program and the ids of the machine."""
    content = content.replace(_HASH, _ALIAS)
    # Only the message that begins a run names them, and it is short; a chart's would take long to parse.
    if _MAIN.encode() not in content:
        return content
    message = ForwardMsg.FromString(content)
    if message.WhichOneof("type") != "new_session":
        return content
    session = message.new_session
    session.main_script_path = Path(_MAIN).name
    for name in session.initialize.user_info.DESCRIPTOR.fields_by_name:
        setattr(session.initialize.user_info, name, "")
    return bytes(message.SerializeToString())


def _is_allowed(content: bytes) -> bool:
    try:
        return BackMsg.FromString(content).WhichOneof("type") in ALLOWED
    except DecodeError:
        return False
