import os
import socket
import sys
from contextlib import closing

import pytest

from app.auth import peers
from app.auth.peers import HEADER, OWN, is_at_this_machine, is_loopback, is_own, uid

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who opened a connection")
LOCAL = {HEADER: OWN, "Host": "localhost:8501"}


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_only_this_machine_reaches_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.evil.org"])
def test_other_machines_may_reach_all_other_addresses(address: str | None) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize("host", ["localhost", "localhost:8501", "127.0.0.1:8501", "[::1]:8501"])
def test_the_own_account_is_at_this_machine(host: str) -> None:
    assert is_at_this_machine({HEADER: OWN, "Host": host})
    for other in ("", "other account", OWN.upper()):
        assert not is_at_this_machine({HEADER: other, "Host": host})
    assert not is_at_this_machine({"Host": host})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {HEADER: OWN},
        {HEADER: OWN, "Host": ""},
        {HEADER: OWN, "Host": "["},
        {HEADER: OWN, "Host": "tickets.example"},
        {HEADER: OWN, "Host": "localhost.evil.org:8501"},
        {HEADER: OWN, "Host": "127.0.0.1.nip.io"},
        {**LOCAL, "X-Forwarded-For": "203.0.113.9"},
        {**LOCAL, "X-Forwarded-Server": "tickets.example"},
        {**LOCAL, "Forwarded": "for=203.0.113.9"},
        {**LOCAL, "Via": "1.1 tunnel"},
        {**LOCAL, "X-Real-Ip": "203.0.113.9"},
        {**LOCAL, "Cf-Connecting-Ip": "203.0.113.9"},
        {**LOCAL, "Tailscale-User-Login": "eve@elsewhere.example"},
    ],
)
def test_a_visit_through_a_proxy_or_by_another_name_is_not_from_this_machine(headers: dict[str, str]) -> None:
    assert is_at_this_machine(LOCAL)
    assert not is_at_this_machine(headers)


@linux
@pytest.mark.parametrize(
    ("family", "bound", "reached"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "127.0.0.1"),
        (socket.AF_INET6, "::", "::ffff:127.0.0.1"),
    ],
)
def test_the_account_of_a_connection_is_found_in_both_families(
    family: socket.AddressFamily, bound: str, reached: str
) -> None:
    if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with socket.create_server((bound, 0), family=family, dualstack_ipv6=bound == "::") as listener:
        near = socket.socket(socket.AF_INET6 if ":" in reached else socket.AF_INET)
        near.connect((reached, listener.getsockname()[1]))
        far, client = listener.accept()
        with closing(near), closing(far):
            ends = client[:2], far.getsockname()[:2]
            assert uid(*ends) == os.geteuid()
            assert is_own(*ends)
            # The other direction is the server's own end.
            assert uid((client[0], client[1] ^ 1), ends[1]) is None


@linux
def test_a_connection_that_its_client_closed_is_nobodys() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, client = listener.accept()
        with closing(far):
            assert is_own(client, far.getsockname())
            near.close()
            assert uid(client, far.getsockname()) is None
            assert not is_own(client, far.getsockname())


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (None, ("127.0.0.1", 8501)),
        (("127.0.0.1", 4000), None),
        (("", 0), ("127.0.0.1", 8501)),
        (("testclient", 50000), ("testserver", 80)),
        (("203.0.113.9", 0), ("127.0.0.1", 8501)),
        (("fe80::1%eth0", 4000), ("fe80::2%eth0", 8501)),
    ],
)
def test_what_no_table_lists_is_nobodys(client: peers.Address | None, server: peers.Address | None) -> None:
    assert not is_own(client, server)


@linux
def test_an_account_that_the_kernel_does_not_know_owns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.os, "geteuid", lambda: 65534)
    monkeypatch.setattr(peers, "uid", lambda *_: 65534)
    assert not is_own(("127.0.0.1", 4000), ("127.0.0.1", 8501))
