"""Whether a study was launched or cancelled last, by the order of the events and not by clocks."""

from collections.abc import Sequence

import duckdb

from data.database.events import StudyCancelled, StudyLaunched


def write(
    connection: duckdb.DuckDBPyConnection, launches: Sequence[StudyLaunched], cancelled: Sequence[StudyCancelled]
) -> None:
    """Write the latest launch and the latest cancellation of each study, in whatever order the events come."""
    for launch in launches:
        connection.execute(
            "INSERT INTO launches VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET revision = excluded.revision WHERE revision < excluded.revision",
            [launch.study_id, launch.revision],
        )
    for event in cancelled:
        connection.execute(
            "INSERT INTO cancellations VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET cancelled_at = excluded.cancelled_at, revision = excluded.revision "
            "WHERE coalesce(revision, '') < excluded.revision",
            [event.study_id, event.at, event.revision],
        )
