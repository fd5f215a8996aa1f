"""How far a study is, told cheaply, so that what was made from it is made anew only once there is something new."""

from dataclasses import dataclass

from data.database.database import Database


@dataclass(frozen=True)
class Revision:
    """What has been recorded of a study.

    results: changes whenever a result of its stages is recorded or completed, and never otherwise. states: whenever a
    stage comes into another state or the study is cancelled. running: stages in training now, whose epochs come without
    either.
    """

    results: tuple[int, ...] = ()
    states: tuple[int | str, ...] = ()
    running: int = 0


def revision(store: Database, study_id: str) -> Revision:
    """Return how far a study is; an empty one for no study."""
    # Results are never taken back, and only what they lack is filled in, so two numbers say what there is of them.
    with store.reading() as connection:
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
