"""The results of a study as the database has them, in the form in which stages save them."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb

from data.database.database import Database
from engine.counts import Count
from engine.study.results import Epoch, Origin, Overlap, Retained, StageResult, Support

# Results are read in batches, since the overlaps of thousands do not fit into memory.
BATCH = 50

Rows = dict[str, list[tuple[Any, ...]]]


def finished(database: Database, study_id: str) -> list[str]:
    """Return the fingerprints of a study's stages with a recorded result, parents first."""
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT fingerprint FROM study_stages SEMI JOIN results USING (fingerprint) WHERE study_id = ? "
            "ORDER BY position",
            [study_id],
        ).fetchall()
    return [str(row[0]) for row in rows]


def results(database: Database, fingerprints: Sequence[str], lab: str) -> Iterator[StageResult]:
    """Yield recorded results in the order of their fingerprints, each with its origin.

    lab: what the origin of results that were trained here calls this place; imported ones keep theirs.
    """
    for first in range(0, len(fingerprints), BATCH):
        batch = list(fingerprints[first : first + BATCH])
        with database.reading() as connection:
            read = _results(connection, batch, lab)
        yield from (read[fingerprint] for fingerprint in batch)


def accuracies(database: Database, fingerprints: Sequence[str]) -> dict[str, list[float]]:
    """Return the test accuracies of all epochs of those stages that have a recorded result, in percent."""
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT fingerprint, coalesce(list(epochs.test_accuracy ORDER BY epoch) FILTER (epoch IS NOT NULL), []) "
            "FROM results LEFT JOIN epochs USING (fingerprint) "
            "WHERE fingerprint IN (SELECT unnest(?::VARCHAR[])) GROUP BY fingerprint",
            [list(fingerprints)],
        ).fetchall()
    return {str(fingerprint): list(values) for fingerprint, values in rows}


def _results(connection: duckdb.DuckDBPyConnection, fingerprints: list[str], lab: str) -> dict[str, StageResult]:
    def rows(query: str) -> Rows:
        """Return the rows of a query by the fingerprint in their first column, without it."""
        grouped: Rows = defaultdict(list)
        for fingerprint, *values in connection.execute(query, [fingerprints]).fetchall():
            grouped[str(fingerprint)].append(tuple(values))
        return grouped

    chosen = "WHERE fingerprint IN (SELECT unnest(?::VARCHAR[]))"
    columns = "epoch, learning_rate, train_loss, train_accuracy, test_loss, test_accuracy, seconds"
    epochs = rows(f"SELECT fingerprint, {columns} FROM epochs {chosen} ORDER BY epoch")
    # Rows keep the order in which they were written, which is that of the result.
    counts = rows(
        'SELECT fingerprint, pair, layer, p, intersection, "top", size, expected '
        f"FROM overlap_counts {chosen} ORDER BY rowid"
    )
    residuals = rows(f"SELECT fingerprint, residual FROM residuals {chosen} ORDER BY round")
    supports = rows(f"SELECT fingerprint, kept, moved, accuracy, oneshot_accuracy FROM supports {chosen}")
    retention = rows(f'SELECT fingerprint, epoch, p, intersection, "top" FROM retention {chosen} ORDER BY rowid')
    origins = rows(
        "SELECT fingerprint, lab, origin.worker, origin.host, origin.device, origin.started_at, origin.finished_at, "
        "states.worker, states.host, states.device, states.started_at, states.finished_at "
        "FROM results LEFT JOIN origins AS origin USING (fingerprint) "
        f"LEFT JOIN (FROM states WHERE state = 'done') AS states USING (fingerprint) {chosen}"
    )
    measured = rows(f"SELECT fingerprint, sparsity, seconds, device, versions, diverged, mask FROM results {chosen}")
    return {
        fingerprint: StageResult(
            fingerprint=fingerprint,
            epochs=tuple(Epoch(*row) for row in epochs[fingerprint]),
            # That of a stage that diverged was never measured.
            sparsity=sparsity or 0.0,
            seconds=seconds,
            device=device,
            overlaps=_overlaps(counts[fingerprint]),
            residuals=tuple(row[0] for row in residuals[fingerprint]),
            versions=json.loads(versions),
            retention=tuple(Retained(*row) for row in retention[fingerprint]),
            diverged=diverged,
            mask=mask,
            support=Support(*supports[fingerprint][0]) if supports[fingerprint] else None,
            origin=_origin(origins[fingerprint][0], lab),
        )
        for fingerprint, [(sparsity, seconds, device, versions, diverged, mask)] in measured.items()
    }


def _overlaps(counts: Sequence[tuple[Any, ...]]) -> tuple[Overlap, ...]:
    by_pair: dict[str, list[Count]] = defaultdict(list)
    for pair, *count in counts:
        by_pair[pair].append(Count(*count))
    return tuple(Overlap(pair, tuple(rows)) for pair, rows in by_pair.items())


def _origin(row: tuple[Any, ...], lab: str) -> Origin:
    imported_from, *values = row
    worker, host, device, started_at, finished_at = values[:5] if imported_from is not None else values[5:]
    name = lab if imported_from is None else str(imported_from)
    return Origin(name, worker, host, device, _text(started_at), _text(finished_at))


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.replace(tzinfo=UTC).isoformat()
