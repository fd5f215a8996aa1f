"""Who is at the other end of a connection: which account, as Linux tells it, and whether a proxy is in between."""

import ipaddress
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

# The header that tells the pages who opened their WebSocket, and its value for the account that runs the dashboard.
# The server sets it, whatever a visitor sends.
HEADER, OWN = "Ticketscope-Peer", "own account"

_TABLES = ("tcp", "tcp6")
_ESTABLISHED = "01"
# A connection may be missing from one reading of a table that changes meanwhile.
_READINGS = 3
# The kernel shows this for accounts that a container does not know, whoever they are.
_UNKNOWN = 65534

# How the headers begin that proxies and tunnels add to a request, in lower case.
_FORWARDED = (
    *("forwarded", "via", "x-forwarded", "x-real-ip", "x-original-", "x-client-ip", "x-cluster-client-ip"),
    *("true-client-ip", "cf-", "cdn-loop", "fastly-", "fly-", "tailscale-", "x-envoy-", "x-amzn-", "x-arr-"),
)

Address = tuple[str, int]


def is_own(client: Address | None, server: Address | None) -> bool:
    """Return whether the account that runs this process opened a connection; False where the system does not say.

    client, server: host and port of its ends. Root is an account like others: it opens what it runs itself.
    """
    if client is None or server is None:
        return False
    readings = (uid(client, server) for _ in range(_READINGS))
    account = next((reading for reading in readings if reading is not None), _UNKNOWN)
    return account == os.geteuid() and account != _UNKNOWN


def uid(client: Address, server: Address) -> int | None:
    """Return the account that opened a connection from a client of this machine to a server.

    None where Linux does not list the connection: it comes from another machine or network namespace, is closed by its
    client, or the system is not Linux.
    """
    for table in _TABLES:
        # A host that is no address, as of a Unix socket, is in no table.
        with suppress(OSError, ValueError):
            ends = f" {_hex(client, table)} {_hex(server, table)} {_ESTABLISHED} "
            # What follows the state in a row, see proc(5): queues, timer, retransmits, uid, timeout, inode.
            columns = Path("/proc/net", table).read_text().partition(ends)[2].split(maxsplit=6)
            # A socket that its process has closed has no inode, and older kernels list it as root's.
            if len(columns) > 5 and columns[5] != "0":
                return int(columns[3])
    return None


def _hex(address: Address, table: str) -> str:
    """Return an address as a table writes it: words in the order of this machine's bytes; IPv4 in tcp6 is mapped."""
    host, port = ipaddress.ip_address(address[0]), address[1]
    if host.version == 6 and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    packed = host.packed
    if table == "tcp6" and host.version == 4:
        packed = ipaddress.IPv6Address(f"::ffff:{host}").packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def is_loopback(address: str | None) -> bool:
    """Return whether only this machine reaches an address; None stands for all addresses."""
    if address == "localhost":
        return True
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def is_at_this_machine(headers: Mapping[str, str]) -> bool:
    """Return whether a visitor's program runs at this machine, under the account that runs the dashboard.

    headers: those of the request, the server's own among them. A proxy or tunnel of that account is recognised by the
    headers that it adds, and a foreign page whose name resolves to this machine by its name. Without a request, as once
    a visitor has left, nobody is there.
    """
    if headers.get(HEADER) != OWN or any(name.lower().startswith(_FORWARDED) for name in headers):
        return False
    with suppress(ValueError):
        return is_loopback(urlsplit(f"//{headers.get('Host', '')}").hostname)
    return False
