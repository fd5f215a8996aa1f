"""Visits a dashboard, also under another account of this machine: `python -m tests.security.visitor ACCOUNT ...`.

The interpreter may lie where other accounts cannot read, so everything is imported before the account is changed.
"""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from tasks.process import ROOT, python
from tests.relay import relayed

# The account of services that own nothing, which every Linux has.
STRANGER = "nobody"


def title(address: str, query: str = "", **headers: str) -> str:
    """Return the title of the page that a new session gets at an address; query: what follows the question mark."""
    parts = urlsplit(address)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with connect(
        f"ws://{parts.netloc}/_stcore/stream", origin=address, subprotocols=["streamlit"], additional_headers=named
    ) as page:
        message = BackMsg()
        message.rerun_script.query_string = query
        page.send(message.SerializeToString())
        while True:
            element = ForwardMsg.FromString(page.recv(timeout=60)).delta.new_element
            if element.HasField("heading") and element.heading.tag == "h1":
                return element.heading.body


def get(address: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Return the status and the headers of the answer to a GET, which is not followed."""
    parts = urlsplit(address)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    try:
        connection.request("GET", address.removeprefix(f"{parts.scheme}://{parts.netloc}"), headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def cookie(address: str) -> str:
    """Return the cookie that the answer to an address sets, without its attributes; empty if it sets none."""
    return get(address)[1].get("set-cookie", "").partition(";")[0]


def strangers_titles(address: str, *visits: dict[str, str]) -> list[str]:
    """Return the titles that another account gets at an address; visits: the arguments of `title`, for each."""
    command = python("-m", "tests.security.visitor", STRANGER, "titles", address, *map(json.dumps, visits))
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@contextmanager
def strangers_tunnel(port: int) -> Iterator[str]:
    """Run a tunnel of another account to a port for the block; yield its address."""
    command = python("-m", "tests.security.visitor", STRANGER, "tunnel", str(port))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://localhost:{process.stdout.readline().strip()}"
        # The tunnel ends with its input, which leaving the block closes.


def main(account: str, what: str, *arguments: str) -> None:
    """Become another account and visit, or run the tunnel until the input ends."""
    # The first look-up of a name imports this.
    "localhost".encode("idna")
    user = pwd.getpwnam(account)
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    if what == "titles":
        address, *visits = arguments
        for visit in visits:
            print(title(address, **json.loads(visit)))
    else:
        with relayed(int(arguments[0])) as relay:
            print(relay.port, flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
