"""Sending a message to the services of TICKETSCOPE_NOTIFY, in a process of its own that cannot harm its parent."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass
from importlib.util import find_spec

from engine.errors import UserError
from tasks.process import ROOT, python

# Seconds after which a process that sends is ended; a service that does not answer takes about ten.
TIMEOUT = 90.0

MISSING = (
    "TICKETSCOPE_NOTIFY is set, but apprise, which sends the notices, is not installed; "
    "pip install 'ticketscope[notify]' installs it, in a checkout "
    ".venv/bin/pip install -r requirements-notify.txt -c constraints.txt"
)


class NotifyError(UserError):
    """Nobody can be notified."""


@dataclass(frozen=True)
class Service:
    """An address of TICKETSCOPE_NOTIFY, by its number from 1 and its kind, such as Slack, without its secrets.

    kind: empty if apprise does not know such an address. error: why the message did not reach it; empty if it did, or
    if none was sent.
    """

    number: int
    kind: str
    error: str = ""

    def __str__(self) -> str:
        return f"{self.number} ({self.kind or 'unknown'})"


def is_installed() -> bool:
    """Return whether apprise, which sends the messages, is installed."""
    return find_spec("apprise") is not None


def services(urls: str) -> list[Service]:
    """Return the services of a setting, which are not asked; raises NotifyError as `deliver` does."""
    return _call(urls, "", "", ())


def deliver(urls: str, title: str, body: str, only: Collection[int] | None = None) -> list[Service]:
    """Send a message, and return each service with what came of it.

    urls: the setting. only: numbers of the services to send it to, all by default; the others are left out of the
    result. Raises NotifyError if apprise is not installed or does not answer.
    """
    return _call(urls, title, body, only)


def _call(urls: str, title: str, body: str, only: Collection[int] | None) -> list[Service]:
    if not is_installed():
        raise NotifyError(MISSING)
    order = {"urls": urls, "title": title, "body": body, "only": None if only is None else list(only)}
    # Other accounts see the arguments of a process, and its errors may contain addresses.
    command = python("-m", "tasks.notices.deliver")
    try:
        answer = subprocess.run(
            command,
            cwd=ROOT,
            input=json.dumps(order),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
        return [Service(**values) for values in json.loads(answer.stdout)]
    except subprocess.TimeoutExpired:
        raise NotifyError(f"the services of TICKETSCOPE_NOTIFY did not answer within {TIMEOUT:.0f} s") from None
    except (subprocess.CalledProcessError, ValueError):
        raise NotifyError("apprise ended with an error; is its version that of requirements-notify.txt?") from None


def _send(urls: str, title: str, body: str, only: Collection[int] | None) -> list[Service]:
    """Send a message from this process; see `deliver`."""
    from apprise import Apprise, NotifyFormat
    from apprise.utils.parse import parse_urls

    said = _Said()
    logging.getLogger("apprise").addHandler(said)
    sent = []
    for number, url in enumerate(parse_urls(urls), start=1):
        server = Apprise.instantiate(url, suppress_exceptions=True)
        kind = "" if server is None else str(server.service_name)
        if only == [] or only is None or number in only:
            error = ""
            if server is None:
                error = "apprise knows no such address"
            elif only != []:
                said.reason = ""
                reached = server.notify(body=body, title=title, body_format=NotifyFormat.TEXT)
                error = "" if reached else said.reason or "it was not reached"
            sent.append(Service(number, kind, error))
    return sent


class _Said(logging.Handler):
    """The reason in what apprise logs, without the rest, which may contain addresses."""

    reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if code := re.search(r"\berror=(\d{3})\b", text):
            self.reason = f"it answered with status {code[1]}"
        elif re.search("connection|timed? ?out|socket", text, re.IGNORECASE) and not self.reason:
            self.reason = "there is no connection to it"


if __name__ == "__main__":
    order = json.load(sys.stdin)
    json.dump([asdict(service) for service in _send(**order)], sys.stdout)
