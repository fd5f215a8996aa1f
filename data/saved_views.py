"""Saved views of the Compare page: names for its states, which are query strings of its address."""

import secrets
from datetime import UTC, datetime

import pandas as pd

from data.database.database import Database, frame
from engine.errors import UserError
from engine.formatting import can_be_seen

# A name may have at most this many characters.
LONGEST = 80


class ViewError(UserError):
    """A view cannot be saved under a name, or does not exist."""


def save(database: Database, name: str, state: str) -> str:
    """Save a view and return its id; ViewError for a name that is empty, too long or taken."""
    name = _checked(name)
    view_id = secrets.token_hex(8)
    with database.writing() as connection:
        if connection.execute("SELECT 1 FROM views WHERE name = ?", [name]).fetchone():
            raise ViewError(f"a view named {name!r} exists already; give another name, or delete that one first")
        at = datetime.now(UTC).replace(tzinfo=None)
        connection.execute("INSERT INTO views VALUES (?, ?, ?, ?)", [view_id, name, state, at])
    return view_id


def list(database: Database) -> pd.DataFrame:
    """Return all views, the latest first. Columns: view_id, name, state, created_at."""
    with database.reading() as connection:
        return frame(connection, "SELECT view_id, name, state, created_at FROM views ORDER BY created_at DESC, view_id")


def get(database: Database, view_id: str) -> tuple[str, str]:
    """Return a view's name and state; ViewError for an unknown id."""
    with database.reading() as connection:
        row = connection.execute("SELECT name, state FROM views WHERE view_id = ?", [view_id]).fetchone()
    if row is None:
        raise ViewError(f"there is no view {view_id!r}; it may have been deleted; choose another")
    return str(row[0]), str(row[1])


def rename(database: Database, view_id: str, name: str) -> None:
    """Give a view another name; ViewError as for `save`, and for an unknown id."""
    name = _checked(name)
    with database.writing() as connection:
        if connection.execute("SELECT 1 FROM views WHERE name = ? AND view_id <> ?", [name, view_id]).fetchone():
            raise ViewError(f"a view named {name!r} exists already; give another name")
        if not connection.execute(
            "UPDATE views SET name = ? WHERE view_id = ? RETURNING 1", [name, view_id]
        ).fetchall():
            raise ViewError(f"there is no view {view_id!r}; it may have been deleted; choose another")


def delete(database: Database, view_id: str) -> None:
    """Delete a view, if it exists."""
    with database.writing() as connection:
        connection.execute("DELETE FROM views WHERE view_id = ?", [view_id])


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST:
        raise ViewError(f"a view's name has 1 to {LONGEST} characters, given {len(name)}")
    if not can_be_seen(name):
        raise ViewError(f"the name {name!a} shows nothing; give one with letters or digits")
    return name
