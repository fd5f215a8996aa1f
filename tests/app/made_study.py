"""Records made-up studies as the recorder would, with results that follow smooth curves."""

import math
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data.database.database import Database
from data.database.events import Event
from engine.counts import P_GRID, Count, top_count
from engine.stages.measure import measured_epochs
from engine.study.plan import Plan, Stage, plan
from engine.study.results import Epoch, Overlap, Retained, StageResult, Support
from engine.study.spec import Study, to_toml

LAYERS = {"fc1.weight": 19_200, "fc2.weight": 30_000, "fc3.weight": 1_000}
BEGAN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OFFSET = {None: 0.0, "winning_ticket": -0.6, "reinit": -3.0, "rewind": -0.2, "finetune": 0.4}

# Copies of databases of one finished study, by what the study is, as long as this process runs.
_FOLDER = TemporaryDirectory(prefix="made-studies-")
_FILES: dict[object, Path] = {}

# Returns the state of a stage, from its place in the plan and itself.
States = Callable[[int, Stage], str]


def all_done(index: int, stage: Stage) -> str:
    """Return \"done\" for every stage."""
    del index, stage
    return "done"


def record(
    database: Database,
    study: Study,
    states: States = all_done,
    study_id: str = "made-study-0001",
    began: datetime = BEGAN,
    reused: int = 0,
    error: str = "RuntimeError: a made-up failure",
) -> Plan:
    """Record a study, each stage in the state that `states` returns; the first `reused` stages count as reused."""
    planned = plan(study, {dataset: f"identity of {dataset}" for dataset in study.datasets})
    # Recording takes longer than copying the file of a database that has nothing but the same study.
    key = (study.model_dump_json(), study_id, began, reused) if states is all_done and _is_empty(database) else None
    if key in _FILES:
        with database.alone() as path:
            shutil.copy(_FILES[key], path)
        return planned
    stages = [{"fingerprint": f, **stage.model_dump(mode="json")} for f, stage in planned.stages.items()]
    bodies: list[tuple[str, dict[str, object]]] = [
        (
            "launched",
            {
                "study_id": study_id,
                "name": study.name,
                "toml": to_toml(study),
                "at": began.isoformat(),
                "stages": stages,
                "roles": [vars(role) for role in planned.roles],
                "reused": list(planned.stages)[:reused],
            },
        )
    ]
    for index, (fingerprint, stage) in enumerate(planned.stages.items()):
        state = states(index, stage)
        at = began + timedelta(seconds=index)
        change = {"fingerprint": fingerprint, "attempt": 1, "at": at.isoformat()}
        trained_by = {"worker": f"worker-{index % 2 + 1}", "host": "laptop", "device": "cpu"}
        if state in ("running", "done", "failed"):
            bodies.append(("stage", {**change, **trained_by, "state": "running"}))
        result = measured(fingerprint, stage)
        if state == "done":
            bodies.append(("result", {"fingerprint": fingerprint, "result": result.to_json()}))
        if state in ("running", "failed"):
            rows = result.to_json()["epochs"][: max(1, stage.epochs // 2)]
            bodies.append(("epochs", {"fingerprint": fingerprint, "rows": rows}))
        if state != "running":
            end = (at + timedelta(seconds=2)).isoformat()
            failure = {"error": error} if state == "failed" else {}
            bodies.append(("stage", {**change, "at": end, "state": state, **failure}))
    milliseconds = int(began.timestamp() * 1000)
    database.record([Event(f"{milliseconds}-{number}", kind, body) for number, (kind, body) in enumerate(bodies)])
    if key is not None:
        with database.alone() as path:
            _FILES[key] = Path(shutil.copy(path, Path(_FOLDER.name) / str(len(_FILES))))
    return planned


def _is_empty(database: Database) -> bool:
    """Return whether no table has rows but the one with the version of the tables."""
    database.ensure()
    with database.reading() as connection:
        query = "SELECT count(*) FROM duckdb_tables() WHERE table_name <> 'meta' AND estimated_size > 0"
        return connection.execute(query).fetchone() == (0,)


def measured(fingerprint: str, stage: Stage) -> StageResult:
    """Return a made-up result of a stage, equal for equal fingerprints."""
    draw = random.Random(fingerprint)
    remembers = stage.learning_rate < 0.05
    final = 96.5 + OFFSET[stage.start] * (1.0 if remembers else 0.3) * (0.4 + stage.sparsity) ** 3
    final += draw.gauss(0, 0.3) - 60 * max(0.0, stage.sparsity - 0.88) ** 1.5
    epochs = tuple(
        Epoch(
            epoch=epoch,
            learning_rate=stage.recipe.learning_rate(stage.learning_rate, epoch - 1, stage.epochs),
            train_loss=2.3 * math.exp(-4 * epoch / stage.epochs) + 0.02 + abs(draw.gauss(0, 0.02)),
            train_accuracy=min(100.0, 10 + 89.9 * (1 - math.exp(-7 * epoch / stage.epochs))),
            test_loss=2.2 * math.exp(-3.5 * epoch / stage.epochs) + 0.12 + abs(draw.gauss(0, 0.02)),
            test_accuracy=10 + (final - 10) * (1 - math.exp(-7 * epoch / stage.epochs)) / (1 - math.exp(-7)),
            seconds=0.02,
        )
        for epoch in range(1, stage.epochs + 1)
    )
    return StageResult(
        fingerprint=fingerprint,
        epochs=epochs,
        sparsity=stage.sparsity,
        seconds=0.02 * stage.epochs,
        device="cpu",
        overlaps=tuple(overlaps(stage, draw, remembers)),
        versions={"engine": "1", "torch": "2.13.0", "python": "3.11.7"},
        retention=tuple(retention(stage, remembers)),
        # All starts have the same mask, and so have iterative and one-shot pruning in the first round.
        mask=_mask(stage) if stage.kind == "retrain" else None,
        **(admm(stage) if stage.kind == "admm" else {}),
    )


def _mask(stage: Stage) -> str:
    text = f"{stage.parent} {stage.score} {stage.sparsity}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def admm(stage: Stage) -> dict[str, Any]:
    """Return the fields of a result that only ADMM has: falling residuals, and a support that moves if rho grows."""
    assert stage.admm is not None
    remaining = round(sum(LAYERS.values()) * (1 - stage.sparsity))
    support = Support(remaining, round(remaining * (0.12 if stage.rho_grows else 0.0001)), 90.0 + stage.seed, 80.0)
    return {"residuals": tuple(0.3 * 0.6**number for number in range(stage.admm.rounds)), "support": support}


def retention(stage: Stage, remembers: bool) -> list[Retained]:
    """Return the retention of a pretraining: 1 at first, and less with each epoch."""
    if stage.kind != "pretrain":
        return []
    weights = sum(LAYERS.values())
    rows = []
    for epoch in measured_epochs(stage.epochs):
        similarity = (0.5 if remembers else 0.04) ** (epoch / stage.epochs)
        for p in P_GRID:
            top = top_count(p, weights)
            rows.append(Retained(epoch, p, round(top * (p + similarity * (1 - p))), top))
    return rows


def overlaps(stage: Stage, draw: random.Random, remembers: bool) -> list[Overlap]:
    """Return the overlaps that a stage measures, strong where the trained weights resemble the initial ones."""
    strong = 0.5 if remembers else 0.04
    if stage.kind == "pretrain":
        return [overlap("initial_pretrained", strong, draw, 1.0, P_GRID)]
    if stage.start != "finetune":
        return []
    remaining = 1 - stage.sparsity
    dense = tuple(p for p in P_GRID if p <= remaining + 1e-9)
    return [
        overlap("ticket_finetuned", strong, draw, remaining, P_GRID),
        overlap("reinit_finetuned", 0.0, draw, remaining, P_GRID),
        overlap("finetuned_initial", 0.3 * strong, draw, 1.0, dense, 1 + 0.5 * strong),
        overlap("finetuned_pretrained", 0.7, draw, 1.0, dense, 1 / remaining),
    ]


def overlap(
    pair: str,
    strength: float,
    draw: random.Random,
    remaining: float,
    ps: tuple[float, ...],
    mask_alone: float | None = None,
) -> Overlap:
    """Return one pair's counts: a share of p + strength (1 - p), a little more in later layers.

    mask_alone: the level of the mask alone as a multiple of p; None for pairs without such a level.
    """
    counts = []
    for place, (layer, weights) in enumerate(LAYERS.items()):
        size = round(weights * remaining)
        for p in ps:
            share = min(1.0, max(0.0, p + strength * (0.9 + 0.1 * place) * (1 - p) + draw.gauss(0, 0.01)))
            top = top_count(p, size)
            expected = None if mask_alone is None else min(1.0, mask_alone * p) * top
            counts.append(Count(layer, p, round(share * top), top, size, expected))
    return Overlap(pair, tuple(counts))
