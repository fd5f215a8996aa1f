"""The command `share`: links for readers without an account, made, listed and revoked."""

import re
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from data import shared_links
from data.database.database import Database
from data.queries import studies
from data.settings import Settings
from data.shared_links import link

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def until(text: str) -> datetime | None:
    """Return when a span such as 12h, 7d or 2w from now is over; None for never; ShareError for another text."""
    if text == "never":
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})([hdw])", text)
    if found is None:
        raise shared_links.ShareError(f"{text!r} is no span of time; give one such as 12h, 7d or 2w, or never")
    return datetime.now(UTC) + timedelta(**{_UNITS[found[2]]: int(found[1])})


def create(
    store: Database, config: Settings, prefix: str, note: str, expires: str, base: str | None, out: Console
) -> None:
    """Make a link to a study and print it; raises ShareError and UnknownStudy."""
    study_id = studies.find_study(store, prefix)
    share, token = shared_links.create(store, [study_id], note=note, expires_at=until(expires))
    ends = f"until {share.expires_at:%Y-%m-%d %H:%M} UTC" if share.expires_at else "until it is revoked"
    out.print(f"link {share.share_id} to {study_id}, {ends}; it is shown this once:")
    out.print(link(base or config.url, token), soft_wrap=True, highlight=False)
    if not (base or config.url):
        out.print("It opens on this machine; for others, give --url or set TICKETSCOPE_URL to the address they reach.")


def table(store: Database) -> Table:
    """Return all links as a table."""
    found = Table(Column("link", no_wrap=True), "shows", "note", "made (UTC)", "ends (UTC)", "last used (UTC)", "state")
    for row in shared_links.shares(store).to_dict("records"):
        ended = row["revoked_at"] == row["revoked_at"] and row["revoked_at"] is not None
        state = "works" if row["works"] else "revoked" if ended else "expired"
        found.add_row(
            str(row["share_id"]),
            ", ".join(row["study_ids"]) + (" (view)" if row["state"] else ""),
            escape(str(row["note"])),
            *(_time(row[name]) for name in ("created_at", "expires_at", "last_used_at")),
            state,
        )
    return found


def _time(at: datetime | None) -> str:
    # A missing time is not equal to itself.
    return "" if at is None or at != at else f"{at:%Y-%m-%d %H:%M}"
