"""Recorded results that lack the latest measurements, and the stages whose weights can complete them."""

from dataclasses import dataclass

from data.database.database import Database
from engine.study.results import AGAINST_DENSE


@dataclass(frozen=True)
class Incomplete:
    """A retraining whose result lacks the hash of its mask, or the levels of the mask alone in its overlaps.

    root: the fingerprint of its pretraining. spec: the stage as JSON. mask, levels: whether it lacks these.
    """

    fingerprint: str
    root: str
    spec: str
    mask: bool
    levels: bool


def incomplete(database: Database) -> list[Incomplete]:
    """Return the results that are incomplete, without trainings that diverged."""
    # A result may have its mask but no levels, if the dense weights were missing when it was completed.
    query = """
        WITH open AS (
            SELECT DISTINCT fingerprint FROM overlap_counts
            WHERE pair IN (SELECT unnest($1::VARCHAR[])) AND expected IS NULL
        )
        SELECT fingerprint, root, spec, mask IS NULL, open.fingerprint IS NOT NULL
        FROM results JOIN stages USING (fingerprint) LEFT JOIN open USING (fingerprint)
        WHERE kind = 'retrain' AND diverged IS NULL AND root IS NOT NULL
            AND (mask IS NULL OR open.fingerprint IS NOT NULL)
        ORDER BY fingerprint
    """
    with database.reading() as connection:
        rows = connection.execute(query, [list(AGAINST_DENSE)]).fetchall()
    return [
        Incomplete(str(fingerprint), str(root), str(spec), mask, levels)
        for fingerprint, root, spec, mask, levels in rows
    ]


def completed(database: Database) -> int:
    """Return the number of results with a recorded mask, which rises as older results are completed."""
    with database.reading() as connection:
        row = connection.execute("SELECT count(mask) FROM results").fetchone()
    return int(row[0]) if row else 0
