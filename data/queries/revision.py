"""Markers that change when a study has new results, so that pages learn of them without reading the results."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.database.database import Database


@dataclass(frozen=True)
class Revision:
    """A marker of the rows that are recorded of a study.

    results: changes whenever a result of its stages is recorded or completed, and never otherwise. states: changes
    whenever the state of a stage changes or the study is cancelled. running: the number of stages in training, whose
    epochs change neither.
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
                epoch_us(cancelled_at), count(*) FILTER (states.state = 'running')
            FROM studies LEFT JOIN cancellations USING (study_id) JOIN study_stages USING (study_id)
                LEFT JOIN results USING (fingerprint) LEFT JOIN states USING (fingerprint)
            WHERE study_id = ? GROUP BY ALL
            """,
            [study_id],
        ).fetchone()
    if row is None:
        return Revision()
    created, results, masks, newest, cancelled, running = row
    return Revision((created, results, masks), (newest or "", cancelled or 0), running)


def results_revision(database: Database, study_ids: Sequence[str]) -> tuple[int, ...]:
    """Return a marker that changes whenever a result of some studies is recorded or completed, and never otherwise."""
    with database.reading() as connection:
        row = connection.execute(
            """
            SELECT count(*), count(mask),
                (SELECT coalesce(sum(epoch_us(created_at)), 0)::HUGEINT FROM studies
                    WHERE study_id IN (SELECT unnest($1::VARCHAR[])))
            FROM study_stages JOIN results USING (fingerprint) WHERE study_id IN (SELECT unnest($1::VARCHAR[]))
            """,
            [list(study_ids)],
        ).fetchone()
    return () if row is None else tuple(int(value) for value in row)
