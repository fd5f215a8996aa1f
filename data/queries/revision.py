"""Markers that change when a study has new results, so that pages learn of them without reading the results."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.database.database import Database


@dataclass(frozen=True)
class Revision:
    """A marker of the rows that are recorded of a study.

    results: changes whenever a result of its stages is recorded or completed, and never otherwise. states: changes
    whenever the state of a stage changes, or the study is cancelled or called otherwise. running: the number of stages
    in training, whose epochs change neither.
    """

    results: tuple[int, ...] = ()
    states: tuple[int | str, ...] = ()
    running: int = 0


def revision(database: Database, study_id: str) -> Revision:
    """Return the revision of a study; an empty one for an unknown id."""
    # Results are never removed, and only their missing values are added, so the two counts identify them.
    with database.reading() as connection:
        row = connection.execute(
            """
            SELECT epoch_us(created_at), count(results.fingerprint), count(mask), max(states.revision),
                epoch_us(cancelled_at), described, count(*) FILTER (states.state = 'running')
            FROM listed LEFT JOIN cancellations USING (study_id) JOIN study_stages USING (study_id)
                LEFT JOIN results USING (fingerprint) LEFT JOIN states USING (fingerprint)
            WHERE study_id = ? GROUP BY ALL
            """,
            [study_id],
        ).fetchone()
    if row is None:
        return Revision()
    created, results, masks, newest, cancelled, described, running = row
    return Revision((created, results, masks), (newest or "", cancelled or 0, described), running)


def results_revisions(database: Database, study_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return `Revision.results` of each of some studies that are known, by their ids."""
    with database.reading() as connection:
        rows = connection.execute(
            """
            SELECT study_id, epoch_us(created_at), count(results.fingerprint), count(mask)
            FROM listed JOIN study_stages USING (study_id) LEFT JOIN results USING (fingerprint)
            WHERE study_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY ALL
            """,
            [list(study_ids)],
        ).fetchall()
    return {str(study_id): tuple(marker) for study_id, *marker in rows}


def results_revision(database: Database, study_ids: Sequence[str]) -> tuple[int, ...]:
    """Return a marker that changes whenever a result of some studies is recorded or completed, and never otherwise."""
    with database.reading() as connection:
        row = connection.execute(
            """
            SELECT count(*), count(mask),
                (SELECT coalesce(sum(epoch_us(created_at)), 0)::HUGEINT FROM listed
                    WHERE study_id IN (SELECT unnest($1::VARCHAR[])))
            FROM study_stages JOIN results USING (fingerprint) WHERE study_id IN (SELECT unnest($1::VARCHAR[]))
            """,
            [list(study_ids)],
        ).fetchone()
    return () if row is None else tuple(int(value) for value in row)


def attempts(database: Database, study_ids: Sequence[str]) -> dict[str, int]:
    """Return how many attempts the stages of some studies took together, which a retry raises, by the studies' ids."""
    with database.reading() as connection:
        rows = connection.execute(
            """
            SELECT study_id, coalesce(sum(attempt), 0)::BIGINT FROM study_stages LEFT JOIN states USING (fingerprint)
            WHERE study_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY study_id
            """,
            [list(study_ids)],
        ).fetchall()
    return {str(study_id): int(count) for study_id, count in rows}
