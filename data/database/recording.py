"""Writing checked events as rows; events may come twice, late and out of order."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import duckdb
import pyarrow as pa

from data.database import deletion, order
from data.database.events import (
    EpochsAdded,
    Parsed,
    ResultCompleted,
    StageChanged,
    StageFinished,
    StudyCancelled,
    StudyDeleted,
    StudyDescribed,
    StudyLaunched,
    StudyTrashed,
)
from data.database.order import StageState, merge, state_of
from engine.study.plan import Stage
from engine.study.results import Epoch, Origin, StageResult

Row = tuple[Any, ...]

# One getter serves all epochs, because a batch has thousands of them.
EPOCH_COLUMNS = attrgetter(*(field.name for field in fields(Epoch)))


def apply(connection: duckdb.DuckDBPyConnection, events: Sequence[Parsed]) -> None:
    """Write events within the connection's transaction.

    Studies, stages and roles are written once and never change. Neither do results with their overlaps and residuals,
    except that missing values may be added. A deleted study stays deleted, whatever events come later.
    """
    deleted = deletion.deleted(connection)
    launches = [event for event in events if isinstance(event, StudyLaunched) and event.study_id not in deleted]
    _launches(connection, launches)
    _states(connection, [event for event in events if isinstance(event, StageChanged)])
    _epochs(connection, [event for event in events if isinstance(event, EpochsAdded)])
    _results(connection, [event for event in events if isinstance(event, StageFinished)])
    # These come after the results, because a batch may contain both.
    _completed(connection, [event for event in events if isinstance(event, ResultCompleted)])
    cancelled = [event for event in events if isinstance(event, StudyCancelled) and event.study_id not in deleted]
    order.write(connection, launches, cancelled)
    order.describe(connection, [e for e in events if isinstance(e, StudyDescribed) and e.study_id not in deleted])
    order.trash(connection, [e for e in events if isinstance(e, StudyTrashed) and e.study_id not in deleted])
    # Deletions come last, so that they remove rows from the same batch too.
    deletion.delete(connection, [event for event in events if isinstance(event, StudyDeleted)])


def _launches(connection: duckdb.DuckDBPyConnection, events: Sequence[StudyLaunched]) -> None:
    studies: dict[str, Row] = {}
    stages: dict[str, Row] = {}
    parts: list[Row] = []
    roles: list[Row] = []
    for event in events:
        compared = event.compared
        lists = (compared[name] for name in ("datasets", "networks", "learning_rates", "pruners", "starts", "seeds"))
        row = (event.study_id, event.name, event.toml, compared["note"], *lists, event.at)
        studies.setdefault(event.study_id, row)
        for position, (fingerprint, stage) in enumerate(event.stages):
            stages[fingerprint] = _stage(fingerprint, stage)
            reused = fingerprint in event.reused
            parts.append((event.study_id, fingerprint, position, stage.images.name, reused))
        roles += [(event.study_id, position, *asdict(role).values()) for position, role in enumerate(event.roles)]
    # Rows that may be in conflict are inserted in any order, and that of studies is their place in the list.
    for (study_id,) in connection.execute("SELECT study_id FROM studies").fetchall():
        studies.pop(study_id, None)
    _insert(connection, "studies", studies.values(), None)
    _insert(connection, "stages", stages.values())
    _insert(connection, "study_stages", parts)
    _insert(connection, "roles", roles)


def _stage(fingerprint: str, stage: Stage) -> Row:
    return (
        fingerprint,
        stage.kind,
        stage.images.identity,
        stage.images.train,
        stage.images.test,
        stage.network,
        stage.learning_rate,
        stage.seed,
        stage.recipe.batch_size,
        stage.recipe.precision,
        stage.score,
        stage.start,
        stage.sparsity,
        stage.parent,
        stage.root,
        stage.epochs,
        stage.model_dump_json(),
    )


def _states(connection: duckdb.DuckDBPyConnection, events: Sequence[StageChanged]) -> None:
    columns = ", ".join(field.name for field in fields(StageState))
    fingerprints = list({event.fingerprint for event in events})
    recorded = connection.execute(
        f"SELECT {columns} FROM states WHERE fingerprint IN (SELECT unnest(?::VARCHAR[]))", [fingerprints]
    ).fetchall()
    states = {str(row[0]): StageState(*row) for row in recorded}
    for event in events:
        before = states.get(event.fingerprint)
        states[event.fingerprint] = state_of(event) if before is None else merge(before, state_of(event))
    rows = [tuple(getattr(state, field.name) for field in fields(StageState)) for state in states.values()]
    _insert(connection, "states", rows, "REPLACE")


def _epochs(connection: duckdb.DuckDBPyConnection, events: Sequence[EpochsAdded]) -> None:
    rows: dict[tuple[str, int], Row] = {}
    for event in events:
        for epoch in event.rows:
            rows.setdefault((event.fingerprint, epoch.epoch), (event.fingerprint, *EPOCH_COLUMNS(epoch)))
    _insert(connection, "epochs", rows.values())


def _results(connection: duckdb.DuckDBPyConnection, events: Sequence[StageFinished]) -> None:
    first = {event.result.fingerprint: event for event in reversed(events)}
    recorded = connection.execute(
        "SELECT fingerprint FROM results WHERE fingerprint IN (SELECT unnest(?::VARCHAR[]))", [list(first)]
    ).fetchall()
    new = [event for fingerprint, event in first.items() if (fingerprint,) not in recorded]
    results = [event.result for event in new]
    epochs = [(result.fingerprint, *EPOCH_COLUMNS(epoch)) for result in results for epoch in result.epochs]
    residuals = [
        (result.fingerprint, number, residual)
        for result in results
        for number, residual in enumerate(result.residuals, start=1)
    ]
    supports = [(result.fingerprint, *astuple(result.support)) for result in results if result.support is not None]
    retention = [(result.fingerprint, *astuple(row)) for result in results for row in result.retention]
    _insert(connection, "results", [_result(result) for result in results])
    # The epochs committed while the stage ran equal those of the result, unless it was interrupted on a device whose
    # numbers vary from run to run; then only those of the result fit the stage's weights.
    _insert(connection, "epochs", epochs, "REPLACE")
    _insert(connection, "residuals", residuals, None)
    _insert(connection, "supports", supports, None)
    _insert(connection, "retention", retention, None)
    _insert(connection, "origins", [_origin(result.fingerprint, result.origin) for result in results if result.origin])
    _overlaps(connection, new)


def _completed(connection: duckdb.DuckDBPyConnection, events: Sequence[ResultCompleted]) -> None:
    """Add masks and levels to results that lack them; recorded values stay."""
    if not events:
        return
    masks = [(event.fingerprint, event.mask) for event in events]
    counts = [
        (event.fingerprint, level.pair, *row)
        for event in events
        for level in event.levels
        for row in zip(level.layers, level.ps, level.expected, strict=True)
    ]
    connection.register("incoming", _table(("fingerprint", "mask"), masks))
    connection.execute(
        "UPDATE results SET mask = incoming.mask FROM incoming JOIN stages USING (fingerprint) WHERE "
        "results.fingerprint = incoming.fingerprint AND results.mask IS NULL AND diverged IS NULL AND kind = 'retrain'"
    )
    connection.register("incoming", _table(("fingerprint", "pair", "layer", "p", "expected"), counts))
    connection.execute(
        "UPDATE overlap_counts AS count SET expected = incoming.expected FROM incoming WHERE "
        "count.fingerprint = incoming.fingerprint AND count.pair = incoming.pair AND count.layer = incoming.layer "
        'AND count.p = incoming.p AND count.expected IS NULL AND incoming.expected <= count."top"'
    )
    connection.unregister("incoming")


def _table(names: Sequence[str], rows: Sequence[Row]) -> pa.Table:
    types = {"p": pa.float64(), "expected": pa.float64()}
    columns = {
        name: pa.array([row[place] for row in rows], types.get(name, pa.string())) for place, name in enumerate(names)
    }
    return pa.table(columns)


def _result(result: StageResult) -> Row:
    scores: Row = (None,) * 5
    if result.diverged is None:
        final, best = result.final, result.best
        scores = (final.test_accuracy, final.test_loss, best.test_accuracy, best.test_loss, best.epoch)
    return (
        result.fingerprint,
        result.sparsity if result.diverged is None else None,
        result.seconds,
        result.device,
        json.dumps(result.versions),
        len(result.epochs),
        *scores,
        result.diverged,
        result.mask,
    )


def _origin(fingerprint: str, origin: Origin) -> Row:
    times = (origin.started_at, origin.finished_at, origin.imported_at)
    # DuckDB's TIMESTAMP carries no zone.
    utc = (at and datetime.fromisoformat(at).astimezone(UTC).replace(tzinfo=None) for at in times)
    return (fingerprint, origin.lab, origin.worker, origin.host, origin.device, *utc)


def _overlaps(connection: duckdb.DuckDBPyConnection, events: Sequence[StageFinished]) -> None:
    columns: dict[str, list[Any]] = {name: [] for name in _columns(connection, "overlap_counts")}
    for event in events:
        for overlap in event.overlaps:
            if not overlap["counts"]:
                continue
            layers, ps, intersections, tops, sizes, *expected = overlap["counts"]
            place = {layer: position for position, layer in enumerate(dict.fromkeys(layers))}
            columns["fingerprint"] += [event.result.fingerprint] * len(layers)
            columns["pair"] += [overlap["pair"]] * len(layers)
            columns["layer"] += layers
            columns["position"] += [place[layer] for layer in layers]
            columns["p"] += ps
            columns["intersection"] += intersections
            columns["top"] += tops
            columns["size"] += sizes
            columns["expected"] += expected[0] if expected else [None] * len(layers)
    _write(connection, "overlap_counts", columns, None)


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[Row], conflict: str | None = "IGNORE"
) -> None:
    names = _columns(connection, table)
    listed = list(rows)
    _write(connection, table, {name: [row[i] for row in listed] for i, name in enumerate(names)}, conflict)


def _write(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, list[Any]], conflict: str | None
) -> None:
    """Insert columns of values; conflict: IGNORE or REPLACE for rows of equal key, None for a table without a key."""
    names = list(columns)
    if not columns[names[0]]:
        return
    # All rows go into one Arrow table, because a statement per row is some hundred times slower.
    connection.register("incoming", pa.table(dict(columns)))
    verb = "INSERT" if conflict is None else f"INSERT OR {conflict}"
    quoted = ", ".join(f'"{name}"' for name in names)
    connection.execute(f"{verb} INTO {table} ({quoted}) SELECT {quoted} FROM incoming")
    connection.unregister("incoming")


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [str(column[0]) for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]
