"""Every route of the dashboard's server, requested without a password, a link or an account."""

import base64
import hashlib
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.metrics_util import Installation
from websockets.sync.client import connect

import ticketscope as ts
from app.auth import guard
from app.auth.guard import HEADERS, flattened
from app.auth.sessions import COOKIE, SESSIONS
from data import shared_links
from data.database.database import Database
from data.parquet import tables_from_database
from data.settings import Settings
from engine.errors import UserError
from tests.browser.conftest import finished_home
from tests.browser.serving import DASHBOARD, ROOT, served
from tests.machine import free_port

# Each route of the server and what protects it. A new one, as after an update of Streamlit, needs a review first.
ROUTES = {
    "/session": "tickets that the password bought",
    "/data/{name}": "the token of a link, which shows what its page shows",
    "/_stcore/health": "says ok",
    "/_stcore/metrics": "shut",
    "/_stcore/host-config": "settings that all browsers get",
    "/media/{file_id:path}": "names that nobody guesses, while the page that made them is open",
    "/_stcore/upload_file/{session_id}/{file_id}": "pages of owners, a token against foreign pages, 32 MB, 100 files",
    "/component/{path:path}": "no component is registered",
    "/_stcore/bidi-components/{path:path}": "no component is registered",
    "/_stcore/stream": "the pages, which ask who is there",
    "/auth/login": "OIDC",
    "/auth/logout": "OIDC",
    "/oauth2callback": "OIDC",
    "/_stcore/agent/interact": "shut",
    "/_stcore/agent/openapi.json": "shut",
    "/_stcore/agent/mcp": "shut",
    "": "the files of Streamlit's own page",
}


def test_the_server_has_no_other_routes(tmp_path: os.PathLike[str]) -> None:
    script = "from app.serve import app\nfor route in app._build_starlette_app().routes: print('>', route.path)"
    environment = {**os.environ, "TICKETSCOPE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    paths = {line[1:].strip() for line in done.stdout.splitlines() if line.startswith(">")}
    assert paths == set(ROUTES)


@pytest.fixture(scope="module")
def served_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of that dashboard, with a finished study."""
    return finished_home(tmp_path_factory.mktemp("doors"))


@pytest.fixture(scope="module")
def address(served_home: Path) -> Iterator[str]:
    """The address of a dashboard with a password."""
    with served(*DASHBOARD, home=served_home, TICKETSCOPE_PASSWORD="open sesame") as address:
        yield address


def test_pandas_reads_what_a_link_shows_until_it_is_revoked(served_home: Path, address: str) -> None:
    database = Database(served_home / "ticketscope.duckdb")
    share, token = shared_links.create(database, ["finished-before"])
    link = shared_links.link(address, token)
    for name, table in tables_from_database(database, "finished-before").items():
        read = pd.read_parquet(shared_links.table_address(link, name))
        assert list(read.columns) == table.column_names
        assert len(read) == len(table) > 0
    shared = ts.open(link)
    assert len(shared.chart("accuracy"))
    status, headers, body = request(address, f"/data/accuracy.parquet?share={token}", "HEAD")
    assert (status, headers["cache-control"], body) == (200, "no-store", b"")
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS
    shared_links.revoke(database, share.share_id)
    with pytest.raises(OSError, match="404"):
        pd.read_parquet(shared_links.table_address(link, "accuracy"))
    with pytest.raises(UserError, match="This link shows nothing"):
        shared.accuracy()
    # The path of another file of this machine is no name of a table.
    assert request(address, f"/data/..%2fticketscope.duckdb?share={token}")[0] in (307, 400, 404)
    assert token not in (served_home / "output.log").read_text()


def request(
    address: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a request whose path is sent as it is."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/study?study=finished-before", "/_stcore/health", "/media/x", "/nowhere"])
def test_every_answer_keeps_tokens_out_of_referers_and_pages_out_of_frames(address: str, path: str) -> None:
    headers = request(address, path)[1]
    for name, value in HEADERS.items():
        assert headers[name.lower()] == value
    policy = headers["content-security-policy"].split("; ")
    assert "frame-ancestors 'self'" in policy
    host = urlsplit(address).netloc
    assert f"connect-src 'self' ws://{host} wss://{host} data: blob:" in policy


@pytest.mark.parametrize(
    ("base", "path", "flat"),
    [
        ("", "/a/b", "../a%20b"),
        ("", "/a/b/c/", "../../a%20b%20c"),
        ("", "//evil.example/x", "../evil.example%20x"),
        ("", "/a/javascript:b", "../a%20javascript%3Ab"),
        ("lab", "/lab/a/b", "../a%20b"),
        ("lab", "/lab/study", None),
        ("lab", "/laboratory/study", "../laboratory%20study"),
        ("", "/study", None),
        ("", "/", None),
        ("lab", "/lab/media/0123abcd.html", None),
        ("", "/media/0123abcd", None),
        ("", "/_stcore/upload_file/0123/abcd", None),
    ],
)
def test_an_address_below_a_page_leads_to_one_beside_it(
    monkeypatch: pytest.MonkeyPatch, base: str, path: str, flat: str | None
) -> None:
    monkeypatch.setattr(guard, "get_option", lambda name: base)
    assert flattened(path) == flat


@pytest.mark.parametrize("host", ["evil.example; script-src *", "a b", "*"])
def test_a_strange_host_adds_nothing_to_the_policy(host: str) -> None:
    assert "connect-src 'self' data: blob:" in guard.policy(host).split("; ")


@pytest.mark.parametrize("path", [path for path, protection in ROUTES.items() if protection == "shut"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_unneeded_routes_are_closed(address: str, path: str, method: str) -> None:
    status, _, body = request(address, path, method, b"{}", Content_Type="application/json")
    assert (status, body) == (404, b"not served here")


TRAVERSALS = [
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/media/../../../../etc/passwd",
    "/media/..%2f..%2fetc%2fpasswd",
    "/media//etc/passwd",
    "/component/../../../etc/passwd",
    "/component/x/..%2f..%2f..%2fetc/passwd",
    "/_stcore/bidi-components/../../../etc/passwd",
    "/app/static/../main.py",
    "/app/static/main.py",
    "/static/../../../../../../../etc/passwd",
    "/static/%00",
    "/static/..\\..\\..\\etc\\passwd",
    "//etc/passwd",
    "/file:///etc/passwd",
    "/.streamlit/config.toml",
    "/app/serve.py",
    "/var/ticketscope.duckdb",
    "/ticketscope.duckdb",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_to_a_file_of_this_machine(address: str, path: str) -> None:
    status, _, body = request(address, path)
    assert status < 500
    for secret in (b"root:", b"import streamlit", b"fileWatcherType", b"DUCK"):
        assert secret not in body


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_upload_without_an_open_page_is_refused(address: str, method: str) -> None:
    path = "/_stcore/upload_file/00000000-0000-0000-0000-000000000000/1"
    assert request(address, path, method, b"x" * 100)[0] in (400, 403)
    # A valid token of the server does not help without a session either.
    token = request(address, "/_stcore/health")[1]["set-cookie"].split("=", 1)[1].split(";")[0]
    headers = {"Cookie": f"_streamlit_xsrf={token}", "X_Xsrftoken": token.strip('"')}
    status, _, body = request(address, path, method, b"x" * 100, **headers)
    assert status in (204, 400, 403)
    assert b"x" * 100 not in body


def handshake(address: str, origin: str | None, host: str | None = None) -> int:
    """Return the HTTP status of a WebSocket handshake from an origin."""
    parts = urlsplit(address)
    lines = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host or parts.netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: streamlit",
        *([f"Origin: {origin}"] if origin else []),
    ]
    with socket.create_connection((str(parts.hostname), int(parts.port or 80)), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(1000).split()[1])


def test_a_page_of_another_site_opens_no_session(address: str) -> None:
    assert handshake(address, address) == 101
    # A page on another port of this machine is another site, although cookies do not separate ports.
    other_port = f"http://localhost:{free_port()}"
    foreign = ("http://evil.example", "https://localhost.evil.example", "null", "http://127.0.0.1.nip.io")
    for origin in (*foreign, other_port):
        assert handshake(address, origin) == 403
    name = urlsplit(address).netloc.replace("localhost", "127.0.0.1")
    assert handshake(address, f"http://{name}", host=name) == 101
    assert handshake(address, f"http://{name}") == 403


@pytest.mark.parametrize("of_proxy", ["tickets.example", "TICKETS.example:8443"])
def test_a_proxy_may_report_the_host_that_the_browser_asked_for(of_proxy: str) -> None:
    headers = Headers({"origin": f"https://{of_proxy}", "host": "127.0.0.1:8501"})
    assert not guard.is_own(headers)
    assert guard.is_own(Headers({**headers, "x-forwarded-host": of_proxy}))


def test_the_configured_address_is_an_own_one(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = Headers({"origin": "https://tickets.example", "host": "127.0.0.1:8501"})
    monkeypatch.setattr(guard, "settings", lambda: Settings(TICKETSCOPE_URL="https://tickets.example/lab"))
    assert guard.is_own(headers)
    assert "wss://tickets.example" in guard.policy("127.0.0.1:8501")


def message(kind: str) -> bytes:
    """Return a message of a page to the server."""
    value = BackMsg()
    field = BackMsg.DESCRIPTOR.fields_by_name[kind]
    if field.message_type:
        getattr(value, kind).SetInParent()
    else:
        setattr(value, kind, True)
    return value.SerializeToString()


KINDS = [field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields]


async def passed(*messages: dict[str, object]) -> list[object]:
    """Return what Streamlit receives of some messages."""
    queue = iter([*messages, {"type": "websocket.disconnect"}])

    async def receive() -> dict[str, object]:
        return next(queue)

    receiving, received = guard._filtered(receive), []
    while (latest := await receiving())["type"] != "websocket.disconnect":
        received.append(latest)
    return received


def finished(coroutine: Coroutine[Any, Any, list[object]]) -> list[object]:
    """Return the result of a coroutine that waits for nothing; a browser's tests leave a running loop behind."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def test_only_messages_that_pages_send_reach_streamlit() -> None:
    assert {"clear_cache", "load_git_info", "debug_shutdown_runtime"} <= set(KINDS)
    for kind in KINDS:
        sent = {"type": "websocket.receive", "bytes": message(kind)}
        assert finished(passed(sent)) == ([sent] if kind in guard.ALLOWED else [])
    for strange in (b"", b"\xff" * 9, message("clear_cache")[:1], None):
        assert finished(passed({"type": "websocket.receive", "bytes": strange})) == []
    assert finished(passed({"type": "websocket.receive", "text": "clear_cache"})) == []


def test_a_page_receives_neither_the_path_of_the_program_nor_ids_of_the_machine(address: str) -> None:
    """The hash of the path would let a guess at it be checked, so pages get an alias, which they may send back."""
    main = str(ROOT / "app" / "main.py")
    hashed = hashlib.md5(main.encode()).hexdigest()
    secrets = (main, str(ROOT), hashed, Installation.instance().installation_id_v3)
    rerun = BackMsg(rerun_script=ClientState(page_script_hash=hashlib.md5(b"main.py").hexdigest()))
    with connect(f"ws://{urlsplit(address).netloc}/_stcore/stream", origin=address, subprotocols=["streamlit"]) as page:
        page.send(rerun.SerializeToString())
        parts: list[ForwardMsg] = []
        while not parts or parts[-1].WhichOneof("type") != "script_finished":
            content = page.recv(timeout=20)
            assert isinstance(content, bytes)
            assert [secret for secret in secrets if secret.encode() in content] == []
            parts.append(ForwardMsg.FromString(content))
    assert "new_session" in {part.WhichOneof("type") for part in parts}
    assert any(part.HasField("delta") for part in parts)


def test_other_messages_may_contain_the_path_and_stay_as_they_are() -> None:
    message = ForwardMsg()
    message.delta.new_element.markdown.body = guard._MAIN
    assert guard.without_places(message.SerializeToString()) == message.SerializeToString()


@given(st.binary(max_size=200))
def test_any_bytes_are_dropped_or_are_one_of_these_messages(content: bytes) -> None:
    if finished(passed({"type": "websocket.receive", "bytes": content})):
        assert BackMsg.FromString(content).WhichOneof("type") in guard.ALLOWED


def test_a_stranger_neither_stops_the_server_nor_sends_files(address: str) -> None:
    """The dashboard has a password, and the stranger has only its log-in page open."""
    host = urlsplit(address).netloc
    with connect(f"ws://{host}/_stcore/stream", origin=address, subprotocols=["streamlit"]) as page:
        for kind in KINDS:
            page.send(message(kind))
        received = [ForwardMsg.FromString(page.recv(timeout=20))]
        while received[-1].WhichOneof("type") != "script_finished":
            received.append(ForwardMsg.FromString(page.recv(timeout=20)))
        kinds = {part.WhichOneof("type") for part in received}
        assert "git_info_changed" not in kinds
        [session] = {
            part.new_session.initialize.session_id for part in received if part.WhichOneof("type") == "new_session"
        }
        token = request(address, "/_stcore/health")[1]["set-cookie"].split("=", 1)[1].split(";")[0]
        headers = {"Cookie": f"_streamlit_xsrf={token}", "X_Xsrftoken": token.strip('"')}
        for name in {session, "00000000-0000-0000-0000-000000000000"}:
            status, _, body = request(address, f"/_stcore/upload_file/{name}/1", "PUT", b"x" * 100, **headers)
            assert (status, body) == (403, b"this page may send no files")
    assert request(address, "/_stcore/health")[0] == 200


def test_a_page_sends_a_limited_number_of_files() -> None:
    uploaders = guard.Uploaders()
    uploaders.admit("owner")
    assert [uploaders.may_send("owner") for _ in range(guard.MOST_UPLOADS + 1)] == [True] * guard.MOST_UPLOADS + [False]
    uploaders.admit("owner")
    assert not uploaders.may_send("owner")
    assert not uploaders.may_send("stranger")


@pytest.mark.parametrize("ticket", [b"", b"guess", b"x" * 100_000, b"\xff" * 43])
def test_a_log_in_without_a_ticket_is_refused(address: str, ticket: bytes) -> None:
    status, headers, _ = request(address, "/session", "POST", ticket)
    assert status == 403
    assert "set-cookie" not in headers


def test_a_session_token_chosen_by_a_stranger_is_never_used() -> None:
    chosen = "a" * 43
    # The cookie that a browser has before a log-in plays no part in it; each session gets a new token.
    tokens = {SESSIONS.begin() for _ in range(10)}
    assert len(tokens) == 10
    assert chosen not in tokens
    assert not SESSIONS.holds(chosen)
    assert SESSIONS.spend(SESSIONS.ticket(next(iter(tokens)))) in tokens
    for token in tokens:
        SESSIONS.end(token)
    assert COOKIE == "ticketscope_session"
