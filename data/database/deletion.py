"""Removing the rows of deleted studies for good: later events of such a study change nothing."""

from collections.abc import Sequence

import duckdb

from data.database.events import Deleted

# Begins the key of a deleted study in the table `meta`, so that a launch event that comes twice does not restore it.
MARK = "deleted "


def deleted(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the ids of all studies that were deleted here."""
    rows = connection.execute("SELECT key FROM meta WHERE starts_with(key, ?)", [MARK]).fetchall()
    return {str(row[0]).removeprefix(MARK) for row in rows}


def delete(connection: duckdb.DuckDBPyConnection, events: Sequence[Deleted]) -> None:
    """Remove studies, with the stages that no other has, and their links.

    A link to several studies stays without the deleted one; a link to that study alone is removed.
    """
    if not events:
        return
    ids = list({event.study_id for event in events})
    for event in events:
        connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", [MARK + event.study_id, event.at.isoformat()])
    rows = connection.execute(
        "SELECT DISTINCT fingerprint FROM study_stages WHERE study_id IN (SELECT unnest(?::VARCHAR[]))", [ids]
    ).fetchall()
    for table in _tables(connection, "study_id"):
        connection.execute(f"DELETE FROM {table} WHERE study_id IN (SELECT unnest(?::VARCHAR[]))", [ids])
    shared = {row[0] for row in connection.execute("SELECT DISTINCT fingerprint FROM study_stages").fetchall()}
    # An event that comes twice finds no row of its study, but may find rows of stages from events repeated before it.
    mine = {*(row[0] for row in rows), *(fingerprint for event in events for fingerprint in event.stages)}
    gone = [fingerprint for fingerprint in mine if fingerprint not in shared]
    for table in _tables(connection, "fingerprint"):
        connection.execute(f"DELETE FROM {table} WHERE fingerprint IN (SELECT unnest(?::VARCHAR[]))", [gone])
    _unlink(connection, ids)


def _tables(connection: duckdb.DuckDBPyConnection, column: str) -> list[str]:
    """Return the tables that are about studies, by the column study_id, or about stages alone, by fingerprint."""
    query = """
        SELECT table_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_name)
        GROUP BY table_name HAVING bool_or(column_name = $1)
            AND ($1 = 'study_id' OR NOT bool_or(column_name = 'study_id'))
        ORDER BY table_name
    """
    return [str(row[0]) for row in connection.execute(query, [column]).fetchall()]


def _unlink(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> None:
    rows = connection.execute(
        "SELECT share_id, study_ids FROM shares WHERE list_has_any(study_ids, ?::VARCHAR[])", [ids]
    ).fetchall()
    for share_id, study_ids in rows:
        left = [study_id for study_id in study_ids if study_id not in ids]
        if left:
            connection.execute("UPDATE shares SET study_ids = ? WHERE share_id = ?", [left, share_id])
        else:
            connection.execute("DELETE FROM shares WHERE share_id = ?", [share_id])
