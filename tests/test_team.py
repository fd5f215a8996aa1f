"""What docs/team.md sets up on Debian: Redis, nginx, settings and services, each with the real program."""

import configparser
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import s3fs
from moto.server import ThreadedMotoServer
from redis import Redis
from redis.exceptions import AuthenticationError, ConnectionError
from typer.core import TyperGroup
from typer.main import get_command
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from data.artifacts.files import Files
from data.settings import settings
from tasks.__main__ import app
from tasks.broker import connection as broker
from tasks.broker.binary import newest
from tests.machine import free_port, wait_for

ROOT = Path(__file__).parents[1]
TEAM = (ROOT / "docs" / "team.md").read_text(encoding="utf-8")
UNITS = sorted((ROOT / "systemd").glob("*.service"))
BIN = "/opt/ticketscope/.venv/bin"
# The document's names, and what stands for them on this machine: nginx tells the two apart by them.
PAGES, STORE = "127.0.0.1", "localhost"


def blocks(language: str) -> list[str]:
    """Return the blocks of docs/team.md in a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEAM, re.DOTALL)


def command(start: str) -> list[str]:
    """Return the words of the one command of docs/team.md that begins so."""
    [line] = re.findall(rf"^    ({re.escape(start)}.*)$", TEAM, re.MULTILINE)
    return str(line).split()


def lines_of_redis(password: str) -> str:
    """Return the lines for the configuration of Redis, with a password."""
    [lines] = blocks("conf")
    assert "requirepass PASSWORD\n" in lines
    return str(lines.replace("PASSWORD", password))


@contextmanager
def redis_of_the_document(folder: Path, port: int) -> Iterator[Redis]:
    """Run the server of the tests with the document's lines after those of a package, and yield a client."""
    folder.mkdir(exist_ok=True)
    # Debian's file has these entries already, with other values.
    package = f"bind 127.0.0.1 -::1\nport {port}\nappendonly no\nsave 3600 1\ndir {folder}\nlogfile {folder}/log\n"
    (folder / "redis.conf").write_text(package + lines_of_redis("s3cret"))
    process = subprocess.Popen([newest().binary, folder / "redis.conf"])
    client = Redis(port=port, password="s3cret", decode_responses=True)
    try:
        wait_for(lambda: process.poll() is not None or _answers(client))
        assert process.poll() is None, (folder / "log").read_text()
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except ConnectionError:
        return False


def test_the_lines_for_redis_keep_the_queue_and_ask_for_the_password(tmp_path: Path) -> None:
    port = free_port()
    with redis_of_the_document(tmp_path, port) as client:
        given = client.config_get("appendonly", "appendfsync", "save", "maxmemory-policy", "bind")
        assert given == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "bind": "127.0.0.1",
        }
        client.set("key", "value")
        with pytest.raises(AuthenticationError):
            Redis(port=port).ping()
        # The log is written every second; this asks for it now, and then the server is killed.
        client.execute_command("WAITAOF", 1, 0, 5000)
    with redis_of_the_document(tmp_path, port) as client:
        assert client.get("key") == "value"


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator["Nginx"]:
    """Debian's nginx in a folder of its own, with the files of the document."""
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        pytest.skip("no nginx here: apt-get install nginx libnginx-mod-stream")
    server = Nginx(binary, tmp_path)
    yield server
    server.stop()


class Nginx:
    """An nginx whose main file is like Debian's, with the document's two files where Debian's reads them."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        self.ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        modules = Path("/etc/nginx/modules-enabled")
        self.has_stream = any(modules.glob("*stream*")) or "--with-stream " in self._built()
        self.certificate = self._sign()
        for part in ("conf.d", "modules-enabled"):
            (folder / part).mkdir()
        if any(modules.glob("*stream*")):
            (folder / "modules-enabled" / "50-mod-stream.conf").write_text(
                "load_module modules/ngx_stream_module.so;\n"
            )
        # The folders of a test that root runs are open to root alone.
        user = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"{user}pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\ninclude {folder}/modules-enabled/*.conf;\n"
            "events {\n}\nhttp {\n    include /etc/nginx/mime.types;\n    access_log off;\n"
            + "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy"))
            + f"    include {folder}/conf.d/*.conf;\n}}\n"
        )

    def _built(self) -> str:
        return subprocess.run([self._binary, "-V"], capture_output=True, text=True, check=True).stderr

    def _sign(self) -> Path:
        """Make the certificate by the document's command, and return its file; the key is beside it."""
        words = command("openssl req -x509")
        key, file = self._folder / "tickets.key", self._folder / "tickets.pem"
        places = {"/etc/ssl/private/tickets.key": str(key), "/etc/ssl/tickets.pem": str(file)}
        assert set(places) <= set(words)
        words = [places.get(word, word) for word in words]
        names = words.index("subjectAltName=DNS:tickets.example,DNS:s3.tickets.example")
        words[names] = f"subjectAltName=IP:{PAGES},DNS:{STORE}"
        subprocess.run(words, check=True, capture_output=True)
        return file

    def place(self, **targets: int) -> None:
        """Write the document's files; targets: ports of the dashboard, the store and Redis, in place of the usual."""
        pages, queue = blocks("nginx")
        numbers = {"8501": targets["dashboard"], "8333": targets["store"], "6379": targets["redis"]}
        assert "/etc/nginx/conf.d/ticketscope.conf" in TEAM
        assert "/etc/nginx/modules-enabled/90-ticketscope.conf" in TEAM
        self.ports = {"443": free_port(), "6380": free_port()}
        for name, text in (("conf.d/ticketscope.conf", pages), ("modules-enabled/90-ticketscope.conf", queue)):
            if name.startswith("modules") and not self.has_stream:
                continue
            # Nothing but places, names and ports differs from what is written.
            text = text.replace("/etc/ssl/private/tickets.key", str(self._folder / "tickets.key"))
            text = text.replace("/etc/ssl/tickets.pem", str(self.certificate))
            text = re.sub(r"listen (\d+) ssl", lambda found: f"listen 127.0.0.1:{self.ports[found[1]]} ssl", text)
            text = re.sub(r"127\.0\.0\.1:(\d{4});", lambda found: f"127.0.0.1:{numbers[found[1]]};", text)
            text = text.replace("server_name s3.tickets.example", f"server_name {STORE}")
            text = text.replace("server_name tickets.example", f"server_name {PAGES}")
            (self._folder / name).write_text(text)

    def check(self) -> None:
        """Let nginx read its configuration."""
        done = subprocess.run(
            [self._binary, "-t", "-c", self._folder / "nginx.conf"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "test is successful" in done.stderr
        assert "[warn]" not in done.stderr

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen([self._binary, "-c", self._folder / "nginx.conf", "-g", "daemon off;"])
        wait_for(lambda: self._listens() or (self._process and self._process.poll() is not None))
        assert self._process.poll() is None, (self._folder / "error.log").read_text()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((PAGES, self.ports["443"])) == 0

    def stop(self) -> None:
        """End it, if it was started."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_nginx_loads_what_is_written_and_passes_on_pages_store_and_redis(
    nginx: Nginx, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del home
    requests: list[dict[str, str]] = []

    def echo(connection: ServerConnection) -> None:
        if connection.request is not None:
            requests.append({name.lower(): value for name, value in connection.request.headers.raw_items()})
        for message in connection:
            connection.send(message)

    port = free_port()
    dashboard = serve(echo, "127.0.0.1", 0)
    threading.Thread(target=dashboard.serve_forever, daemon=True).start()
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    try:
        nginx.place(dashboard=dashboard.socket.getsockname()[1], store=store.get_host_and_port()[1], redis=port)
        nginx.check()
        nginx.start()
        page = f"{PAGES}:{nginx.ports['443']}"
        context = ssl.create_default_context(cafile=nginx.certificate)
        with connect(f"wss://{page}/_stcore/stream", ssl=context, proxy=None) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=30) == "hello"
        [headers] = requests
        assert headers["host"] == page
        assert headers["x-forwarded-for"] == "127.0.0.1"
        assert headers["x-forwarded-proto"] == "https"

        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://{STORE}:{nginx.ports['443']}")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(nginx.certificate))
        # Cached connections of an earlier test lead to another server.
        s3fs.S3FileSystem.clear_instance_cache()
        bucket(store.get_host_and_port()[1])
        files = Files("s3://tickets")
        # Larger than what nginx accepts by default.
        files.write("weights", bytes(2_000_000))
        assert files.read("weights") == bytes(2_000_000)

        if not nginx.has_stream:
            return
        with redis_of_the_document(tmp_path / "redis", port):
            url = f"rediss://:s3cret@{PAGES}:{nginx.ports['6380']}/0"
            for query, works in ((f"?ssl_ca_certs={nginx.certificate}", True), ("", False)):
                monkeypatch.setenv("REDIS_URL", url + query)
                settings.cache_clear()
                client = broker.client(settings(), patience=0)
                if works:
                    assert client.ping()
                else:
                    with pytest.raises(ConnectionError, match="certificate"):
                        client.ping()
                client.close()
    finally:
        store.stop()
        dashboard.shutdown()


def bucket(port: int) -> None:
    """Make the document's bucket in the store at a port."""
    import boto3

    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="tickets")


def test_the_units_are_those_that_the_document_starts() -> None:
    named = command("systemctl enable --now")[3:]
    # One unit replaces the others where one host is enough.
    assert sorted([*named, "ticketscope-up"]) == [unit.stem for unit in UNITS]
    assert "`ticketscope-up`" in TEAM
    assert "cp -r /opt/ticketscope/systemd/. /etc/systemd/system/" in TEAM


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_that_exists_as_the_account(unit: Path) -> None:
    common = ROOT / "systemd" / "ticketscope-.service.d" / "common.conf"
    parsed = configparser.ConfigParser(interpolation=None, strict=True)
    parsed.optionxform = str  # type: ignore[assignment]
    parsed.read([common, unit], encoding="utf-8")
    service = parsed["Service"]
    assert service["User"] == "ticketscope"
    assert "useradd --system --home-dir /var/lib/ticketscope" in TEAM
    assert service["WorkingDirectory"] == "/opt/ticketscope"
    assert (service["StateDirectory"], service["StateDirectoryMode"], service["UMask"]) == (
        "ticketscope",
        "0700",
        "0077",
    )
    assert parsed["Install"]["WantedBy"] == "multi-user.target"
    program, *words = service["ExecStart"].split()
    if program == f"{BIN}/ticketscope":
        commands = get_command(app)
        assert isinstance(commands, TyperGroup)
        assert words == [unit.stem.removeprefix("ticketscope-")]
        assert words[0] in commands.commands
    else:
        assert [program, *words[:3]] == [f"{BIN}/python", "-m", "streamlit", "run"]
        assert (ROOT / words[3]).exists()


def test_systemd_knows_every_line_of_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    folder = tmp_path / "system"
    shutil.copytree(ROOT / "systemd", folder)
    for unit in folder.glob("*.service"):
        text = unit.read_text().replace(f"{BIN}/ticketscope", sys.executable).replace(f"{BIN}/python", sys.executable)
        unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(folder.glob("*.service"))], capture_output=True, text=True, check=False
    )
    # Units of the machine itself may have warnings of their own.
    ours = [line for line in done.stderr.splitlines() if "ticketscope" in line]
    assert (done.returncode, ours) == (0, []), done.stderr
