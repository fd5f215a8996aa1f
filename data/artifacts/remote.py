"""How the artifact store is reached where it is not a folder: what a call may take, and what it asks for."""

import socket
from typing import Any

# Seconds for a connection, and for the next byte of an answer.
CONNECT_SECONDS, ANSWER_SECONDS = 5, 15
# How often s3fs asks in all; who can wait longer does so above (`tasks.worker.retrying_artifacts`).
TRIES = 3
# Milliseconds after which an upload whose packets nobody acknowledges is broken off; the kernel's own is 15 minutes.
UNHEARD_MS = 20_000

S3 = ("s3", "s3a")


def options(url: str) -> dict[str, Any]:
    """Return fsspec's options for a URL; endpoint and credentials come from the environment, as for any S3 client."""
    # Listings change under us when other hosts finish stages, so they are never kept.
    chosen: dict[str, Any] = {"use_listings_cache": False}
    if url.partition("://")[0] in S3:
        chosen["config_kwargs"] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": ANSWER_SECONDS,
            # s3fs tries again by itself: five times five tries of 15 s are six minutes.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "connector_args": {"socket_factory": _socket},
        }
    return chosen


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an address, as getaddrinfo tells it, that notices when nobody is there any more."""
    family, kind, protocol = address[:3]
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)
    return made
