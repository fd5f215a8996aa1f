"""Removing the rows of deleted studies; later events of such a study change nothing."""

from collections.abc import Sequence

import duckdb

from data.database.events import StudyDeleted

# The key of a deleted study in the table `meta` begins so; it keeps a repeated launch event from restoring the study.
MARK = "deleted "


def deleted(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the ids of all deleted studies."""
    rows = connection.execute("SELECT key FROM meta WHERE starts_with(key, ?)", [MARK]).fetchall()
    return {str(row[0]).removeprefix(MARK) for row in rows}


def delete(connection: duckdb.DuckDBPyConnection, events: Sequence[StudyDeleted]) -> None:
    """Remove studies, the stages that no other study has, and links.

    A link to several studies loses the deleted one; a link to that study alone is removed.
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
    # A repeated event finds no row of its study, but repeated events before it may have restored rows of its stages.
    stages = {*(row[0] for row in rows), *(fingerprint for event in events for fingerprint in event.stages)}
    unused = list(stages - shared)
    for table in _tables(connection, "fingerprint"):
        connection.execute(f"DELETE FROM {table} WHERE fingerprint IN (SELECT unnest(?::VARCHAR[]))", [unused])
    _unlink(connection, ids)


def _tables(connection: duckdb.DuckDBPyConnection, column: str) -> list[str]:
    """Return the tables with a column: study_id, or fingerprint, for which tables with a study_id are left out."""
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
        remaining = [study_id for study_id in study_ids if study_id not in ids]
        if remaining:
            connection.execute("UPDATE shares SET study_ids = ? WHERE share_id = ?", [remaining, share_id])
        else:
            connection.execute("DELETE FROM shares WHERE share_id = ?", [share_id])
