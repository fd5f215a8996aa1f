"""A Redis that lets in whoever reaches its host: said loudly wherever something long-running begins."""

import ipaddress
import logging
from urllib.parse import urlsplit

from data.settings import Settings

log = logging.getLogger(__name__)


def open_to_all(url: str | None) -> str | None:
    """Return what to say of a REDIS_URL that lets in whoever reaches the host, None where nothing is to be said."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.password or parts.hostname is None or is_loopback(parts.hostname):
        return None
    return (
        f"REDIS_URL names {parts.hostname}, beyond this machine, and no password: whoever reaches it can launch, "
        "cancel and delete. Set a password there (requirepass) and give it here: rediss://:PASSWORD@host:port/0"
    )


def is_loopback(host: str) -> bool:
    """Return whether a host's name is this machine's own to itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def warn_if_open(config: Settings) -> None:
    """Log a warning where the Redis in use lets in whoever reaches it."""
    if told := open_to_all(config.redis_url):
        log.warning("%s", told)
