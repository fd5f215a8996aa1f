"""Recorded results that lack what is measured today, and the weights from which it can be computed."""

from dataclasses import dataclass

from data.database.database import Database
from engine.study.results import AGAINST_DENSE


@dataclass(frozen=True)
class Incomplete:
    """A retraining whose result lacks the hash of its mask, or what the mask alone gives of its overlaps.

    root: the fingerprint of the dense network that it was made from. spec: the stage as JSON. mask, levels: whether
    these are what it lacks.
    """

    fingerprint: str
    root: str
    spec: str
    mask: bool
    levels: bool


def incomplete(database: Database) -> list[Incomplete]:
    """Return the results that are incomplete, trainings that diverged left out; one short read."""
    # A missing mask is cheap to find, but a result may have got its mask while the dense weights were missing.
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
    """Return the number of results whose mask is recorded, which rises as older results are completed."""
    with database.reading() as connection:
        row = connection.execute("SELECT count(mask) FROM results").fetchone()
    return int(row[0]) if row else 0
