"""Links by which someone without an account can read one study or one saved view."""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import duckdb
import pandas as pd

from data.database import ended_links
from data.database.database import Database, frame
from data.queries.studies import launched
from engine.errors import UserError
from engine.formatting import can_be_seen
from engine.study.fields import UNSEEN

LOCAL = "http://localhost:8501"
LONGEST_NOTE, LONGEST_TITLE = 200, 80
# The page of a link, and the parameter of its address that holds the token.
PAGE, TOKEN = "shared", "share"
# An open page uses its link every other second, but the time of the last use need not be exact.
TOUCH_EVERY = timedelta(minutes=1)

# When this process last recorded the use of each link, by its id.
_touched: dict[str, datetime] = {}
_touching = threading.Lock()


class ShareError(UserError):
    """A link cannot be made as requested, or does not exist."""


@dataclass(frozen=True)
class Anonymous:
    """What a link for double-blind review calls its studies, "" for their names, and whether it shows their notes."""

    title: str = ""
    with_notes: bool = False


@dataclass(frozen=True)
class Share:
    """A valid link; state is the shared view's, or None if it shares a study; times are UTC.

    anonymous: None for a link that is not.
    """

    share_id: str
    study_ids: tuple[str, ...]
    state: str | None
    note: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    anonymous: Anonymous | None = None

    def has_ended(self) -> bool:
        """Return whether the link has expired; whether it was revoked, only the database knows."""
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


def create(
    database: Database,
    study_ids: Sequence[str],
    state: str | None = None,
    note: str = "",
    expires_at: datetime | None = None,
    anonymous: Anonymous | None = None,
) -> tuple[Share, str]:
    """Make a link and return it with its token, which is never stored.

    expires_at: UTC, with its zone; None for never. Raises ShareError without a study, for a note or a title that cannot
    be shown and for an end in the past, and UnknownStudy for a study that is not recorded.
    """
    note, now = " ".join(_utf8(note).split()) if can_be_seen(note) else "", datetime.now(UTC)
    title = " ".join(_utf8(anonymous.title).split()) if anonymous and can_be_seen(anonymous.title) else ""
    if not study_ids:
        raise ShareError("a link needs a study to show; give one")
    if len(note) > LONGEST_NOTE:
        raise ShareError(f"a note has at most {LONGEST_NOTE} characters, given {len(note)}")
    if len(title) > LONGEST_TITLE:
        raise ShareError(f"a title has at most {LONGEST_TITLE} characters, given {len(title)}")
    if unseen := UNSEEN.search(title):
        raise ShareError(f"the title {title!a} contains the invisible character {unseen[0]!a}; leave it out")
    if expires_at is not None and expires_at <= now:
        raise ShareError(f"the link would have ended at {expires_at:%Y-%m-%d %H:%M} UTC; give a time to come, or none")
    token, share_id = secrets.token_urlsafe(32), secrets.token_hex(4)
    with database.writing() as connection:
        launched(connection, study_ids)
        times = _naive(now), _naive(expires_at)
        shown = anonymous is not None, title, anonymous is None or anonymous.with_notes
        connection.execute(
            "INSERT INTO shares (share_id, token_hash, study_ids, state, note, created_at, expires_at, anonymous, "
            "title, with_notes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [share_id, _hash(token), list(study_ids), state, note, *times, *shown],
        )
    made = replace(anonymous, title=title) if anonymous else None
    return Share(share_id, tuple(study_ids), state, note, now, expires_at, None, made), token


def find(database: Database, token: str) -> Share | None:
    """Return the link of a token; None if it is unknown, expired, revoked or all that it shows is in the Trash.

    Readers must not tell these apart.
    """
    hashed, now = _hash(token), datetime.now(UTC)
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT token_hash, share_id, study_ids, state, note, anonymous, title, with_notes, created_at, "
            "expires_at, last_used_at FROM shares "
            "WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
            [_naive(now)],
        ).fetchall()
        trashed = _trashed(connection)
    for token_hash, share_id, study_ids, state, note, is_anonymous, title, with_notes, *times in rows:
        if hmac.compare_digest(token_hash, hashed):
            shown, ended_at = _still_shown(study_ids, ended_links.read(database.path).get(token_hash))
            shown = [study_id for study_id in shown if study_id not in trashed]
            if ended_at is not None or not shown:
                return None
            created_at, expires_at, last_used_at = (None if at is None else at.replace(tzinfo=UTC) for at in times)
            assert created_at is not None
            anonymous = Anonymous(title, with_notes) if is_anonymous else None
            return Share(share_id, tuple(shown), state, note, created_at, expires_at, last_used_at, anonymous)
    return None


def shares(database: Database, study_id: str | None = None) -> pd.DataFrame:
    """Return all links, or those that show a study, the latest first.

    Columns: share_id, study_ids (list), state, note, created_at, expires_at, last_used_at, revoked_at, anonymous
    (bool), title, with_notes (bool), works (bool), trashed (bool; all that it shows is in the Trash).
    """
    with database.reading() as connection:
        rows = frame(connection, "FROM shares ORDER BY created_at DESC, share_id")
        trashed = _trashed(connection)
    ended = ended_links.read(database.path)
    for row in rows.index:
        link = rows.loc[row]
        shown, ended_at = _still_shown(link["study_ids"], ended.get(link["token_hash"]))
        rows.at[row, "study_ids"] = shown
        if pd.isna(link["revoked_at"]) and ended_at is not None:
            rows.at[row, "revoked_at"] = ended_at
    rows["trashed"] = pd.Series([trashed.issuperset(ids) for ids in rows["study_ids"]], rows.index, bool)
    rows["works"] = rows["revoked_at"].isna() & ~(rows["expires_at"] <= datetime.now(UTC)) & ~rows["trashed"]
    showing = [study_id is None or study_id in study_ids for study_ids in rows["study_ids"]]
    return rows[pd.Series(showing, dtype=bool)].drop(columns="token_hash").reset_index(drop=True)


def _trashed(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute("SELECT study_id FROM trash WHERE trashed_at IS NOT NULL").fetchall()
    return {str(row[0]) for row in rows}


def _still_shown(study_ids: Sequence[str], ended: ended_links.Ended | None) -> tuple[list[str], datetime | None]:
    """Return the studies that a link still shows, and when it ended; a restored backup may say otherwise."""
    if ended is None:
        return list(study_ids), None
    shown = [study_id for study_id in study_ids if study_id not in ended.study_ids]
    return shown or list(study_ids), ended.at if ended.entirely or not shown else None


def revoke(database: Database, link: str) -> str:
    """End a link at once and for good, and return its id; ShareError for an unknown one.

    link: its id, its address or its token, the last two of which open it and so must not be shown to anybody.
    """
    link = _utf8(link.strip())
    with database.writing() as connection:
        row = connection.execute(
            "SELECT share_id, token_hash FROM shares WHERE share_id = ? OR token_hash = ?",
            [link, _hash(token_of(link))],
        ).fetchone()
        if row is None:
            raise ShareError("there is no such link here; ticketscope share --list lists all links with their ids")
        share_id, token_hash = row
        # The file comes first, since it alone outlives a restored backup.
        ended_links.add(database.path, [token_hash])
        connection.execute(
            "UPDATE shares SET revoked_at = coalesce(revoked_at, ?) WHERE share_id = ?",
            [_naive(datetime.now(UTC)), share_id],
        )
    return str(share_id)


def token_of(link: str) -> str:
    """Return the token in the address of a link, or the text itself, which may be one."""
    return parse_qs(urlsplit(link).query).get(TOKEN, [link])[0]


def stop_showing(database: Database, study_id: str) -> None:
    """Make links no longer show a study, even if a restored backup brings it back; those to it alone end."""
    with database.writing() as connection:
        rows = connection.execute(
            "SELECT token_hash FROM shares WHERE list_contains(study_ids, ?)", [study_id]
        ).fetchall()
        ended_links.add(database.path, [token_hash for (token_hash,) in rows], study_id)


def touch(database: Database, share: Share) -> bool:
    """Record that a link is in use, at most once per TOUCH_EVERY, and return whether that was written.

    Of many viewers at once, one writes, whatever they read before.
    """
    now = datetime.now(UTC)
    with _touching:
        latest = max(filter(None, (share.last_used_at, _touched.get(share.share_id))), default=None)
        if latest is not None and now - latest < TOUCH_EVERY:
            return False
        _touched[share.share_id] = now
    with database.writing() as connection:
        connection.execute("UPDATE shares SET last_used_at = ? WHERE share_id = ?", [_naive(now), share.share_id])
    return True


def _hash(token: str) -> str:
    # 256 random bits cannot be guessed, so the hash may be fast; a slow hash would help someone flood the server.
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _utf8(text: str) -> str:
    # A shell may pass bytes that are not UTF-8, which the database refuses.
    return text.encode(errors="replace").decode()


def _naive(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None)


def link(base: str | None, token: str) -> str:
    """Return the address of a token's link; base: the address of the dashboard, None for LOCAL."""
    return f"{(base or LOCAL).rstrip('/')}/{PAGE}?{TOKEN}={token}"


def table_address(link: str, table: str) -> str:
    """Return the address of a table, such as accuracy, that a link shows; link: its address, as `link` returns it."""
    base, _, query = link.rpartition(f"/{PAGE}?")
    return f"{base}/data/{table}.parquet?{query}"
