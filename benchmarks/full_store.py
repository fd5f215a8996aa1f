"""Write a store as full as a whole paper leaves it: `python -m benchmarks.full_store --home DIR`."""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import made_world
from data.database.database import Database
from data.database.events import Event
from data.datasets.registry import identity
from engine.paper import figures as paper
from engine.paper import studies as paper_studies
from engine.study.plan import Plan, plan
from engine.study.spec import Study, parse_study, to_toml

BEGAN = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
# Stages recorded in one transaction; the recorder's batches are of this order.
BATCH = 200
# Trainings of T epochs that one seed adds to the finished studies below: the paper's, and 5 rates x (1 dense network
# and 12 sparsities x 4 starts) of the sweep that the paper lacks.
PER_SEED = 859 + 5 * 49
# The studies, by when they were launched.
FINISHED = ("full-paper", "full-sweep")
TRAINING = "full-training"
RUNNING = 8


def studies(trainings: int, epochs: int) -> dict[str, Study]:
    """Return the studies by id: two finished, of at least so many trainings of T = epochs, and one running.

    The first is all figures of the paper. Each training counts once, though two studies may hold it.
    """
    seeds = tuple(range(max(1, math.ceil(trainings / PER_SEED))))
    whole = paper_studies.study(paper.ALL)
    recipe = whole.recipe.model_copy(update={"epochs": epochs})
    common: dict[str, Any] = {
        "networks": ["resnet20"],
        "pruners": ["iterative"],
        "sparsities": paper.FIGURES["fig1"].sparsities,
        "seeds": seeds,
        "recipe": {"epochs": epochs},
        "note": "Made-up numbers, to see how fast the pages are.",
    }
    sweep = {
        **common,
        "name": "Seven learning rates",
        "datasets": ["cifar10"],
        "learning_rates": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
        "overlap_p": [round(0.05 * number, 2) for number in range(1, 20)],
    }
    training = {
        **common,
        "name": "ResNet-20 on CIFAR-100, in training",
        "datasets": ["cifar100"],
        "learning_rates": [0.003, 0.03],
        "overlap_p": [0.1, 0.2, 0.3, 0.4, 0.5],
    }
    return {
        "full-paper": whole.model_copy(update={"seeds": seeds, "recipe": recipe, "note": common["note"]}),
        "full-sweep": parse_study(sweep),
        TRAINING: parse_study(training),
    }


def planned(study: Study) -> Plan:
    """Return a study's plan over the datasets themselves, which nobody need download for it."""
    # The pages ask for the paper's figures by the same fingerprints.
    return plan(study, {dataset: identity(dataset, Path()) for dataset in study.datasets})


def bodies(
    study_id: str, study: Study, seed: int, finished: bool, known: set[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the recorder would hear of a study, each the kind and body of an event.

    finished: all its stages are done; else half are, the next few run, and the rest waits. known: stages that an
    earlier study has trained, which grows by those of this one.
    """
    made = planned(study)
    began = BEGAN + timedelta(days=len(known) / 500)
    yield (
        "launched",
        {
            "study_id": study_id,
            "name": study.name,
            "toml": to_toml(study),
            "at": began.isoformat(),
            "stages": [{"fingerprint": f, **stage.model_dump(mode="json")} for f, stage in made.stages.items()],
            "roles": [asdict(role) for role in made.roles],
            "reused": [fingerprint for fingerprint in made.stages if fingerprint in known],
        },
    )
    for index, (fingerprint, stage) in enumerate(made.stages.items()):
        if fingerprint in known:
            continue
        at = began + timedelta(minutes=index)
        told = {"fingerprint": fingerprint, "attempt": 1, "at": at.isoformat()}
        worker = {"worker": f"host:{100 + index % 4}", "host": "host", "device": "a made-up device"}
        if finished or index < len(made.stages) // 2:
            known.add(fingerprint)
            ended = (at + timedelta(minutes=15)).isoformat()
            yield "stage", {**told, **worker, "state": "running"}
            yield "result", {"fingerprint": fingerprint, "result": made_world.result(stage, seed)}
            yield "stage", {**told, **worker, "at": ended, "state": "done"}
        elif index < len(made.stages) // 2 + RUNNING:
            rows = made_world.result(stage, seed)["epochs"][: max(1, stage.epochs // 3)]
            yield "stage", {**told, **worker, "state": "running"}
            yield "epochs", {"fingerprint": fingerprint, "rows": rows}
        else:
            yield "stage", {**told, "attempt": 0, "state": "waiting" if stage.parent else "queued"}


def write(
    store: Database, chosen: dict[str, Study], seed: int = 0, running: Sequence[str] = (TRAINING,)
) -> Iterator[int]:
    """Record studies by id, and yield how many events are written after each batch.

    running: the ids of those that are still in training. The same seed gives the same rows.
    """
    known: set[str] = set()
    batch: list[Event] = []
    number = 0
    for study_id, study in chosen.items():
        for kind, body in bodies(study_id, study, seed, study_id not in running, known):
            # One millisecond apart, as a stream would number them.
            batch.append(Event(f"{int(BEGAN.timestamp() * 1000) + number}-0", kind, body))
            number += 1
            if len(batch) >= 3 * BATCH:
                store.record(batch)
                batch.clear()
                yield number
    store.record(batch)
    yield number


def contents(store: Database, epochs: int) -> dict[str, int]:
    """Return how many rows each table of results holds, trainings of T = epochs that are done, and the file's bytes."""
    tables = ("stages", "results", "epochs", "overlap_counts", "retention", "residuals")
    with store.reading() as connection:
        rows = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables}
        done = connection.execute("SELECT count(*) FROM results WHERE epochs = ?", [epochs]).fetchall()[0][0]
    return {"trainings": done, **rows, "bytes": store.path.stat().st_size}


def main() -> int:
    """Write the store that the arguments describe and say how large it is and how long it took."""
    arguments = _arguments()
    store = Database(arguments.home / "ticketscope.duckdb")
    if store.path.exists():
        print(f"{store.path} exists already; give another --home, or remove it first", file=sys.stderr)
        return 1
    chosen = studies(arguments.trainings, arguments.epochs)
    stages = len({fingerprint for study in chosen.values() for fingerprint in planned(study).stages})
    begin = time.perf_counter()
    for events in write(store, chosen, arguments.seed):
        passed = time.perf_counter() - begin
        # Three events a stage at most, so the share is a little behind.
        print(f"\r{events:,} events of at most {3 * stages:,} · {passed:.0f} s", end="", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - begin
    print(file=sys.stderr)
    found = contents(store, arguments.epochs)
    rows = sum(found[name] for name in ("stages", "results", "epochs", "overlap_counts", "retention", "residuals"))
    figures = {**found, "seconds": round(seconds, 1), "rows_per_second": round(rows / seconds)}
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name.replace('_', ' '):16} {value:>14,}" for name, value in figures.items()))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_store", description=__doc__)
    parser.add_argument(
        "--home", type=Path, required=True, help="folder for the store; TICKETSCOPE_HOME of a dashboard"
    )
    parser.add_argument("--trainings", type=int, default=5000, help="finished trainings at least (default 5000)")
    parser.add_argument("--epochs", type=int, default=150, help="epochs per training (default 150)")
    parser.add_argument("--seed", type=int, default=0, help="of the numbers drawn (default 0)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
