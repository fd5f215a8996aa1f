"""Studies and results with random numbers, and the events that report them."""

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import duckdb

from data.database.events import Event
from engine.counts import P_GRID, Count, top_count
from engine.study.plan import Plan, Stage, plan
from engine.study.results import AGAINST_DENSE, Epoch, Overlap, StageResult, Support
from engine.study.spec import Study, parse_study, to_toml

LAYERS = {"fc1.weight": 640, "fc2.weight": 300, "fc3.weight": 7}
FINETUNED = ("ticket_finetuned", "reinit_finetuned", "finetuned_initial", "finetuned_pretrained")
STUDY_ID = "0123abcd"


def made_study(**changes: object) -> Study:
    """Return a study with every pruner and start, 2 sparsities and 2 seeds."""
    values: dict[str, object] = {
        "name": "made",
        "note": "drawn numbers",
        "datasets": ["digits"],
        "networks": ["lenet300"],
        "learning_rates": [0.1, 0.01],
        "pruners": ["oneshot", "iterative", "admm"],
        "sparsities": [0.5, 0.9],
        "seeds": [1, 0],
        "overlap_p": [0.05, 0.2, 0.35],
        "recipe": {"epochs": 3},
    }
    return parse_study({**values, **changes})


def copy_into(connection: duckdb.DuckDBPyConnection, schema: str) -> None:
    """Copy all rows of an attached database, less the columns that the tables of the older one lack."""
    names = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name <> ?", [schema]).fetchall()
    for (name,) in names:
        if name != "meta":
            description = connection.execute(f"SELECT * FROM {name} LIMIT 0").description
            columns = ", ".join(f'"{column[0]}"' for column in description)
            connection.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {schema}.{name}")


def made_plan(**changes: object) -> Plan:
    study = made_study(**changes)
    return plan(study, {name: f"content of {name}" for name in study.datasets})


def made_result(fingerprint: str, stage: Stage) -> StageResult:
    """Return a result drawn from its fingerprint; accuracies repeat, so that several epochs may be the best."""
    draw = random.Random(fingerprint)
    epochs = tuple(_epoch(draw, number, stage.learning_rate) for number in range(1, stage.epochs + 1))
    pairs = ("initial_pretrained",) if stage.kind == "pretrain" else FINETUNED if stage.start == "finetune" else ()
    return StageResult(
        fingerprint=fingerprint,
        epochs=epochs,
        sparsity=stage.sparsity + 0.001,
        seconds=1.5 * stage.epochs,
        device="cpu",
        overlaps=tuple(Overlap(pair, tuple(_counts(draw, pair in AGAINST_DENSE))) for pair in pairs),
        residuals=tuple(0.5**i for i in range(3)) if stage.kind == "admm" else (),
        versions={"torch": "2"},
        # All starts of a seed share a mask, as do all pruners at one sparsity.
        mask=hashlib.md5(f"{stage.seed} {stage.sparsity}".encode()).hexdigest() if stage.kind == "retrain" else None,
        support=Support(500, draw.randint(0, 500), 40.0, 30.0) if stage.kind == "admm" else None,
    )


def without_masks(result: StageResult) -> StageResult:
    """Return a result as it was before masks and their levels were measured."""
    bare = [
        replace(overlap, counts=tuple(replace(count, expected=None) for count in overlap.counts))
        for overlap in result.overlaps
    ]
    return replace(result, mask=None, overlaps=tuple(bare))


def completion(result: StageResult) -> dict[str, object]:
    """Return the body of the event that adds mask and levels to an earlier result."""
    levels = [
        {
            "pair": overlap.pair,
            "layers": [count.layer for count in overlap.counts],
            "ps": [count.p for count in overlap.counts],
            "expected": [count.expected for count in overlap.counts],
        }
        for overlap in result.overlaps
        if overlap.pair in AGAINST_DENSE
    ]
    return {"fingerprint": result.fingerprint, "mask": result.mask, "levels": levels}


def _epoch(draw: random.Random, number: int, rate: float) -> Epoch:
    test_accuracy = draw.choice((50.0, 80.0))
    return Epoch(number, rate / number, draw.random(), draw.uniform(0, 100), draw.random(), test_accuracy, 0.5)


def _counts(draw: random.Random, against_dense: bool) -> Iterator[Count]:
    for layer, size in LAYERS.items():
        for p in P_GRID:
            top = top_count(p, size)
            shared, expected = draw.randint(0, top), draw.uniform(p * top, top)
            yield Count(layer, p, shared, top, size, expected if against_dense else None)


def made_results(planned: Plan) -> dict[str, StageResult]:
    return {fingerprint: made_result(fingerprint, stage) for fingerprint, stage in planned.stages.items()}


def diverging_results(planned: Plan, rate: float = 0.1, after: int = 2) -> dict[str, StageResult]:
    """Return results that diverged at one rate: dense networks in epoch `after`, stages made from them in epoch 0."""
    results = made_results(planned)
    for fingerprint, stage in planned.stages.items():
        if stage.learning_rate == rate:
            at = after if stage.kind == "pretrain" else 0
            epochs = results[fingerprint].epochs[: max(0, at - 1)]
            results[fingerprint] = StageResult(fingerprint, epochs, 0.0, 0.5, "cpu", versions={}, diverged=at)
    return results


class Stream:
    """Makes events, with ids that rise as those of Redis do."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def event(self, kind: str, **body: object) -> Event:
        return Event(f"1764000000000-{next(self._numbers)}", kind, body)

    def launched(self, planned: Plan, study_id: str = STUDY_ID, reused: tuple[str, ...] = (), second: int = 0) -> Event:
        return self.event(
            "launched",
            study_id=study_id,
            name=planned.study.name,
            toml=to_toml(planned.study),
            at=f"2026-11-23T10:00:{second:02d}+00:00",
            stages=[{**stage.model_dump(mode="json"), "fingerprint": f} for f, stage in planned.stages.items()],
            roles=[asdict(role) for role in planned.roles],
            reused=list(reused),
        )

    def stage(self, fingerprint: str, state: str, attempt: int = 1, second: int = 1, **more: object) -> Event:
        at = f"2026-11-23T10:01:{second:02d}+00:00"
        return self.event("stage", fingerprint=fingerprint, state=state, attempt=attempt, at=at, **more)

    def epochs(self, result: StageResult) -> Event:
        rows = [list(asdict(epoch).values()) for epoch in result.epochs]
        return self.event("epochs", fingerprint=result.fingerprint, rows=rows)

    def result(self, result: StageResult) -> Event:
        return self.event("result", fingerprint=result.fingerprint, result=result.to_json())

    def life(self, result: StageResult) -> list[Event]:
        """Return all events of a stage that is trained without a failure."""
        fingerprint = result.fingerprint
        return [
            self.stage(fingerprint, "queued", second=1),
            self.stage(fingerprint, "running", second=2, worker="laptop:7", host="laptop", device="cpu"),
            self.epochs(result),
            self.result(result),
            self.stage(fingerprint, "done", second=9),
        ]


def whole_study(
    stream: Stream, planned: Plan, study_id: str = STUDY_ID, results: dict[str, StageResult] | None = None
) -> list[Event]:
    """Return all events of a study from its launch to its end, with random results unless others are passed."""
    events = [stream.launched(planned, study_id)]
    for result in (results or made_results(planned)).values():
        events += stream.life(result)
    return events


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table of a database, in order."""
    with duckdb.connect(str(path), read_only=True) as connection:
        names = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: sorted(connection.execute(f'FROM "{name}"').fetchall(), key=repr) for name in sorted(names)}
