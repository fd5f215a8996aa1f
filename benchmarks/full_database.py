"""Fills a database with made-up results of all figures of the paper, for `benchmarks.pages`."""

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import made_results
from benchmarks.fixtures import planned
from data.database.database import Database
from data.database.events import Event
from engine.paper import figures as paper
from engine.paper import studies as paper_studies
from engine.study.plan import Plan
from engine.study.spec import Study, parse_study, to_toml

BEGAN = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
# Stages recorded in one transaction, about as many as the recorder records.
BATCH = 200
# Trainings of T epochs that one seed adds to the finished studies below: the paper's, and 5 rates x (1 dense network
# and 12 sparsities x 4 starts) of the sweep that the paper lacks.
PER_SEED = 859 + 5 * 49
# The ids of the studies, in the order of their launches.
FINISHED = ("full-paper", "full-sweep")
TRAINING = "full-training"
RUNNING = 8


def studies(trainings: int, epochs: int, number: int = 3) -> dict[str, Study]:
    """Return the studies by id: two finished, with at least that many trainings of T = epochs, and one running.

    The first has all figures of the paper. A training of two studies counts once. number: of studies; those beyond the
    three are finished, with 3 rates x 49 trainings each.
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
    further = {
        f"full-{index:03}": {
            **common,
            "name": f"Three learning rates, seed {1000 + index}",
            "datasets": ["cifar10"],
            "learning_rates": [0.01, 0.03, 0.1],
            "overlap_p": [0.1, 0.2, 0.3, 0.4, 0.5],
            "seeds": [1000 + index],
        }
        for index in range(number - 3)
    }
    return {
        **{study_id: parse_study(fields) for study_id, fields in further.items()},
        "full-paper": whole.model_copy(update={"seeds": seeds, "recipe": recipe, "note": common["note"]}),
        "full-sweep": parse_study(sweep),
        TRAINING: parse_study(training),
    }


def bodies(
    study_id: str, study: Study, seed: int, finished: bool, known: set[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a study, each as its kind and body, in the order in which a recorder would read them.

    finished: whether all of its stages are done; otherwise half are, the next few run, and the rest wait. known: stages
    that earlier studies have trained, to which this function adds.
    """
    plan = planned(study)
    began = BEGAN + timedelta(days=len(known) / 500)
    yield "launched", launched(study_id, plan, began, known)
    for index, (fingerprint, stage) in enumerate(plan.stages.items()):
        if fingerprint in known:
            continue
        at = began + timedelta(minutes=index)
        stage_event = {"fingerprint": fingerprint, "attempt": 1, "at": at.isoformat()}
        worker = {"worker": f"host:{100 + index % 4}", "host": "host", "device": "a made-up device"}
        if finished or index < len(plan.stages) // 2:
            known.add(fingerprint)
            end = (at + timedelta(minutes=15)).isoformat()
            yield "stage", {**stage_event, **worker, "state": "running"}
            yield "result", {"fingerprint": fingerprint, "result": made_results.result(stage, seed)}
            yield "stage", {**stage_event, **worker, "at": end, "state": "done"}
        elif index < len(plan.stages) // 2 + RUNNING:
            rows = made_results.result(stage, seed)["epochs"][: max(1, stage.epochs // 3)]
            yield "stage", {**stage_event, **worker, "state": "running"}
            yield "epochs", {"fingerprint": fingerprint, "rows": rows}
        else:
            yield "stage", {**stage_event, "attempt": 0, "state": "waiting" if stage.parent else "queued"}


def launched(study_id: str, plan: Plan, at: datetime, known: Container[str] = ()) -> dict[str, Any]:
    """Return the body of the event that launches a study; known: stages that are done before."""
    return {
        "study_id": study_id,
        "name": plan.study.name,
        "toml": to_toml(plan.study),
        "at": at.isoformat(),
        "stages": [{"fingerprint": f, **stage.model_dump(mode="json")} for f, stage in plan.stages.items()],
        "roles": [asdict(role) for role in plan.roles],
        "reused": [fingerprint for fingerprint in plan.stages if fingerprint in known],
    }


def write(
    database: Database, studies: dict[str, Study], seed: int = 0, running: Sequence[str] = (TRAINING,)
) -> Iterator[int]:
    """Record studies by id, and yield the number of events written after each batch.

    running: the ids of those that are still in training. The same seed gives the same rows.
    """
    known: set[str] = set()
    batch: list[Event] = []
    number = 0
    for study_id, study in studies.items():
        for kind, body in bodies(study_id, study, seed, study_id not in running, known):
            # Ids of a stream begin with milliseconds; these are one apart.
            batch.append(Event(f"{int(BEGAN.timestamp() * 1000) + number}-0", kind, body))
            number += 1
            if len(batch) >= 3 * BATCH:
                database.record(batch)
                batch.clear()
                yield number
    database.record(batch)
    yield number


def contents(database: Database, epochs: int) -> dict[str, int]:
    """Return the number of finished trainings of T = epochs, the rows of each table, and the bytes of the file."""
    tables = ("stages", "results", "epochs", "overlap_counts", "retention", "residuals")
    with database.reading() as connection:
        rows = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables}
        done = connection.execute("SELECT count(*) FROM results WHERE epochs = ?", [epochs]).fetchall()[0][0]
    return {"trainings": done, **rows, "bytes": database.path.stat().st_size}
