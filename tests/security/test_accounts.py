"""A dashboard without a password, and who owns it: the account that runs it, and who knows the token of this start."""

import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.auth import peers
from app.auth.sessions import COOKIE
from data.settings import Settings
from tests.browser.conftest import finished_home
from tests.browser.serving import DASHBOARD, served
from tests.machine import free_port, wait_for
from tests.relay import relayed
from tests.security.visitor import STRANGER, cookie, get, strangers_titles, strangers_tunnel, title

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who opened a connection")
other_account = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can start programs of another account"
)


@dataclass
class Dashboard:
    """A running dashboard: its address, and the file with the address that holds the token."""

    address: str
    file: Path

    @property
    def with_token(self) -> str:
        return self.file.read_text()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    home = finished_home(tmp_path_factory.mktemp("accounts"))
    with served(*DASHBOARD, home=home) as address:
        yield Dashboard(address, Settings(TICKETSCOPE_HOME=str(home)).dashboard_address)


@linux
def test_the_own_account_owns_the_dashboard(dashboard: Dashboard) -> None:
    assert title(dashboard.address) == "Studies"
    assert title(dashboard.address.replace("localhost", "127.0.0.1")) == "Studies"


@linux
def test_a_tunnel_of_the_own_account_is_the_own_account_unless_its_headers_show_it(dashboard: Dashboard) -> None:
    with relayed(dashboard.port) as relay:
        address = f"http://localhost:{relay.port}"
        assert title(address) == "Studies"
        for name in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP"):
            assert title(address, **{name: "203.0.113.9"}) == "Locked"


@other_account
def test_another_account_owns_nothing_whatever_it_sends(dashboard: Dashboard) -> None:
    forged = {peers.HEADER.replace("-", "_"): peers.OWN}
    shouted = {name.upper(): value for name, value in forged.items()}
    titles = strangers_titles(dashboard.address, {}, forged, shouted, {"query": "share=guess"})
    assert titles == ["Locked", "Locked", "Locked", "Not part of this link"]


@other_account
def test_a_tunnel_of_another_account_makes_no_owner(dashboard: Dashboard) -> None:
    with strangers_tunnel(dashboard.port) as address:
        assert title(address) == "Locked"
        login = cookie(address + dashboard.with_token.removeprefix(dashboard.address))
        assert title(address, Cookie=login) == "Studies"


@other_account
def test_another_accounts_curl_gets_neither_a_login_nor_sends_files(dashboard: Dashboard) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")

    under = {"user": STRANGER, "group": pwd.getpwnam(STRANGER).pw_gid, "extra_groups": []}

    def curled(*arguments: str) -> str:
        command = [curl, "--silent", "--show-error", "--include", "--max-time", "20", *arguments]
        return subprocess.run(command, cwd="/", **under, capture_output=True, text=True, check=True).stdout

    assert COOKIE not in curled(f"{dashboard.address}/?token=guess")
    assert COOKIE not in curled(f"{dashboard.address}/", "--header", f"{peers.HEADER}: {peers.OWN}")
    upload = f"{dashboard.address}/_stcore/upload_file/00000000-0000-0000-0000-000000000000/1"
    assert "403 Forbidden" in curled("--request", "PUT", "--data", "x", upload)
    assert subprocess.run(["cat", dashboard.file], cwd="/", **under, capture_output=True).returncode
    # Who has the token may be anybody.
    assert COOKIE in curled(dashboard.with_token)


NGINX = """
user {account} {group};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{target};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host localhost:{port};
        }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, target: int, account: str) -> Iterator[str]:
    """Run an nginx before a port that adds no header, and whose workers have an account, for the block."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed")
    port, file = free_port(), folder / "nginx.conf"
    group = grp.getgrgid(pwd.getpwnam(account).pw_gid).gr_name
    file.write_text(NGINX.format(folder=folder, port=port, target=target, account=account, group=group))
    with subprocess.Popen([program, "-p", folder, "-e", folder / "error.log", "-c", file]) as process:
        try:
            address = f"http://localhost:{port}"
            wait_for(lambda: answers(address), 20.0)
            yield address
        finally:
            process.terminate()


def answers(address: str) -> bool:
    try:
        return get(f"{address}/_stcore/health")[0] == 200
    except OSError:
        return False


@other_account
def test_a_plain_nginx_of_another_account_makes_no_owner(dashboard: Dashboard, tmp_path: Path) -> None:
    with nginx(tmp_path, dashboard.port, STRANGER) as address:
        assert title(address) == "Locked"
        login = cookie(address + dashboard.with_token.removeprefix(dashboard.address))
        assert title(address, Cookie=login) == "Studies"


@other_account
def test_a_plain_nginx_of_the_own_account_makes_everybody_an_owner(dashboard: Dashboard, tmp_path: Path) -> None:
    """The documents warn of this; the test says when it is no longer true."""
    with nginx(tmp_path, dashboard.port, "root") as address:
        assert strangers_titles(address, {}) == ["Studies"]


def test_the_token_is_in_a_private_file_and_taken_out_of_the_address(dashboard: Dashboard) -> None:
    assert stat.S_IMODE(dashboard.file.stat().st_mode) == 0o600
    query = urlsplit(dashboard.with_token).query
    assert dashboard.with_token == f"{dashboard.address}/?{query}"
    for path, rest, leads_to in (
        ("/", "", "./"),
        ("/study", "&study=finished-before", "./study?study=finished-before"),
        ("/lab/compare", "&s=a&s=b%26c", "./compare?s=a&s=b%26c"),
        # No address leads to another machine.
        ("//evil.example", "", "./evil.example"),
        ("//evil.example/", "", "./"),
        ("/%5cevil.example", "", "./%5Cevil.example"),
        ("/https:evil.example", "", "./https%3Aevil.example"),
    ):
        status, headers = get(f"{dashboard.address}{path}?{query}{rest}")
        assert (status, headers["location"]) == (303, leads_to)
        assert headers["set-cookie"].startswith(f"{COOKIE}=")
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("token", ["", "guess", "%00", "%ff", "%C3%A4", "x" * 5000])
def test_a_wrong_token_gets_no_login(dashboard: Dashboard, token: str) -> None:
    status, headers = get(f"{dashboard.address}/?token={token}")
    assert (status, headers["location"]) == (303, "./")
    assert COOKIE not in headers.get("set-cookie", "")
