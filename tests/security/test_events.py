"""Forged entries of the event stream: the recorder sets them aside and continues."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.database.database import Database
from data.database.events import ERROR_CHARACTERS
from data.queries import studies
from data.settings import settings
from engine.study.spec import to_toml
from tasks.broker.connection import client
from tasks.broker.server import serving
from tasks.queue import leases, telemetry
from tasks.services import recorder
from tasks.studies import launch
from tests.machine import tiny_study
from tests.tasks.queue.test_leases import result

TABLES = (
    "studies",
    "stages",
    "study_stages",
    "roles",
    "states",
    "epochs",
    "results",
    "overlap_counts",
    "cancellations",
    "descriptions",
    "trash",
)
BIG = 10**400
AT = "2026-11-20T12:00:00+00:00"
ROLE = {"dataset": "digits", "network": "lenet300", "learning_rate": 0.1, "pruner": None, "sparsity": 0.0, "start": "x"}
EPOCH = [1, 0.1, 1.0, 50.0, 1.0, 50.0, 0.1]


def entry(kind: str, body: Any) -> dict[str, str]:
    return {"kind": kind, "body": body if isinstance(body, str) else json.dumps(body)}


def changed(values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**values, **changes}.items() if value is not ...}


def forged(fingerprint: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield entries that can never be recorded, by name."""
    yield "no fields", {"a": "b"}
    yield "no body", {"kind": "stage"}
    yield "unknown kind", entry("rumour", {})
    for body in ("", "not JSON", "null", "5", "[]", '"text"', "[" * 100_000, '{"a":' * 50_000, "\x00", "NaN"):
        for kind in ("stage", "result", "launched", "epochs", "completed", "cancelled"):
            yield f"{kind} {body[:10]!r}", entry(kind, body)
    stage = {"fingerprint": fingerprint, "state": "done", "attempt": 1}
    for changes in (
        {"fingerprint": "../../etc/passwd"},
        {"fingerprint": "'; DROP TABLE states; --"},
        {"fingerprint": fingerprint + "\n"},
        {"fingerprint": 5},
        {"fingerprint": ...},
        {"state": "finished"},
        {"state": ["done"]},
        {"attempt": "one"},
        {"attempt": 1.5},
        {"attempt": BIG},
        {"attempt": 2**40},
        {"attempt": -(2**70)},
        {"worker": {"a": 1}},
        {"worker": "\ud800"},
        {"error": ["x"]},
    ):
        yield f"stage {str(changes)[:40]}", entry("stage", changed(stage, **changes))
    for rows in (
        "x",
        [[]],
        [5],
        [EPOCH[:-1]],
        [[*EPOCH, 1]],
        [["1", *EPOCH[1:]]],
        [[BIG, *EPOCH[1:]]],
        [[2**40, *EPOCH[1:]]],
        [[1.5, *EPOCH[1:]]],
        [[1, "x", *EPOCH[2:]]],
        [[1, None, *EPOCH[2:]]],
        [[1, [0.1], *EPOCH[2:]]],
        [[1, 0.1, float("nan"), *EPOCH[3:]]],
        [[1, 0.1, float("inf"), *EPOCH[3:]]],
        [[1, 0.1, BIG, *EPOCH[3:]]],
        [[{"a": 1}] * 7],
        [["'; DROP TABLE epochs; --"] * 7],
        [[True] * 7],
    ):
        yield f"epochs {str(rows)[:40]}", entry("epochs", {"fingerprint": fingerprint, "rows": rows})
    measured = {**result(fingerprint).to_json()}
    overlap = {"pair": "initial_pretrained", "counts": [["a"], [0.1], [1], [2], [3]]}
    for changes in (
        {"fingerprint": "f" * 32},
        {"epochs": []},
        {"epochs": [["x"] * 7]},
        {"epochs": [[1, 0.1, float("nan"), 1, 1, 1, 1]]},
        {"epochs": "many"},
        {"sparsity": "half"},
        {"sparsity": float("nan")},
        {"sparsity": BIG},
        {"seconds": None},
        {"seconds": [1]},
        {"device": {"a": 1}},
        {"device": 5},
        {"versions": 5},
        {"versions": ["engine"]},
        {"versions": {"engine": float("nan")}},
        {"residuals": ["x"]},
        {"residuals": [None]},
        {"residuals": 5},
        {"retention": [[1, 2, 3]]},
        {"retention": [["a", "b", "c", "d"]]},
        {"retention": [[1, 0.1, 2**70, 1]]},
        {"support": 5},
        {"support": {"kept": 5}},
        {"support": {"kept": 5, "moved": 6, "accuracy": 1.0, "oneshot_accuracy": 1.0}},
        {"support": {"kept": 5, "moved": 2**70, "accuracy": 1.0, "oneshot_accuracy": 1.0}},
        {"support": {"kept": 5, "moved": 1, "accuracy": float("nan"), "oneshot_accuracy": 1.0}},
        {"support": {"kept": 5, "moved": 1, "accuracy": 1.0, "oneshot_accuracy": 1.0, "more": 1}},
        {"overlaps": 5},
        {"overlaps": [5]},
        {"overlaps": [{"pair": "p"}]},
        {"overlaps": [{"pair": "p", "counts": [[1]]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], ["x"], [1], [1], [1]]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], [0.1], ["x"], [1], [1]]}]},
        {"overlaps": [{"pair": "p", "counts": [[["a"]], [0.1], [1], [1], [1]]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], [0.1], [2**70], [1], [1]]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], [0.1], [1], [1], [1], [None]]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], [0.1], [1], [1], [1], [-0.5]]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], [0.1], [1], [1], [1], [1.5]]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], [0.1], [1], [1], [1], [float("nan")]]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], [0.1], [1], [1], [1], []]}]},
        {"overlaps": [{"pair": "p", "counts": [["a"], [0.1], [1], [1], [1], [1], [1]]}]},
        {"mask": 5},
        {"mask": "no hash"},
        {"mask": "A" * 32},
        {"overlaps": [{**overlap, "pair": 5}]},
        {"overlaps": [{**overlap, "counts": "abcde"}]},
    ):
        body = {"fingerprint": fingerprint, "result": changed(measured, **changes)}
        yield f"result {str(changes)[:60]}", entry("result", body)
    level = {"pair": "finetuned_initial", "layers": ["a"], "ps": [0.2], "expected": [1.0]}
    completed = {"fingerprint": fingerprint, "mask": "0" * 32, "levels": [level]}
    for changes in (
        {"fingerprint": "'; DROP TABLE results; --"},
        {"fingerprint": ...},
        {"mask": ...},
        {"mask": None},
        {"mask": "x" * 1_000_000},
        {"levels": "many"},
        {"levels": [level] * 2},
        *(
            {"levels": [{**level, **inside}]}
            for inside in (
                {"pair": "initial_pretrained"},
                {"layers": "a"},
                {"layers": [5]},
                {"layers": ["a", "b"]},
                {"layers": ["x" * 1_000_000]},
                {"ps": [0.0]},
                {"ps": ["0.2"]},
                {"ps": [True]},
                {"expected": [BIG]},
                {"expected": [-1.0]},
                {"expected": [float("nan")]},
                {"expected": [float("inf")]},
                {"expected": [None]},
                {"layers": ["a"] * 2, "ps": [0.2] * 2, "expected": [1.0] * 2},
            )
        ),
    ):
        yield f"completed {str(changes)[:60]}", entry("completed", changed(completed, **changes))
    study = tiny_study()
    launched = {"study_id": "s", "name": "n", "toml": to_toml(study), "at": AT, "stages": [], "roles": [], "reused": []}
    for changes in (
        {"study_id": 5},
        {"study_id": "../../x"},
        {"study_id": "<b>"},
        {"study_id": "x" * 1_000_000},
        {"name": None},
        {"toml": "not = [toml"},
        {"toml": "a=" + "[" * 100_000},
        {"toml": 'name = "n"\nlearning_rates = "x"'},
        {"toml": "name = 'n'\nseeds = [1e400, nan]"},
        {"toml": "note = 5"},
        {"toml": "note = 'x'\ndatasets = [[1], {a=1}]"},
        {"at": "never"},
        {"at": 1e400},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"stages": [{"fingerprint": fingerprint}]},
        {"stages": [5]},
        {"stages": "many"},
        {"roles": [{"fingerprint": fingerprint}]},
        {"roles": [[1, 2, 3, 4, 5, 6, 7, 8]]},
        # The seed is an integer, but too large for the column, so that the database itself refuses it.
        {"roles": [[fingerprint, "digits", "lenet300", 0.1, 2**70, None, 0.0, "dense"]]},
        {"roles": [{**ROLE, "fingerprint": fingerprint, "seed": 2**70}]},
        {"reused": 5},
    ):
        yield f"launched {str(changes)[:60]}", entry("launched", changed(launched, **changes))
    for body in ({"study_id": "s"}, {"study_id": [], "at": AT}, {"study_id": "s", "at": "tomorrow"}, {"at": AT}):
        yield f"cancelled {body}", entry("cancelled", body)


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    """An empty database beside a running Redis."""
    del home
    with serving(settings()):
        database = Database(settings().database)
        database.ensure()
        yield database


def tables(database: Database) -> dict[str, list[Any]]:
    with database.reading() as connection:
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in TABLES}


def test_forged_events_are_set_aside_and_change_nothing(database: Database) -> None:
    redis = client(settings())
    study_id = launch.launch(tiny_study())
    recorder.drain_idle(settings())
    before = tables(database)
    entries = list(forged(leases.members(redis, study_id)[0]))
    for _, fields in entries:
        redis.xadd(telemetry.EVENTS, dict(fields))
    redis.xadd(telemetry.EVENTS, {b"kind": b"stage", b"body": b"\xff\xfe"})
    recorder.drain_idle(settings())
    assert tables(database) == before
    assert redis.xlen(telemetry.EVENTS) == 0
    aside = redis.xrange(recorder.REFUSED)
    assert len(aside) == len(entries) + 1
    assert all(len(text) <= recorder.REFUSED_CHARACTERS for _, saved in aside for text in saved.values())
    # Valid events among forged ones are recorded.
    later = launch.launch(tiny_study(name="Later", seeds=[1]))
    for _, fields in entries[-30:]:
        redis.xadd(telemetry.EVENTS, dict(fields))
    launch.cancel(later)
    recorder.drain_idle(settings())
    assert studies.study(database, later).counts["cancelled"] == 7
    redis.close()


def test_a_long_error_of_a_stage_is_shortened(database: Database) -> None:
    redis = client(settings())
    study_id = launch.launch(tiny_study())
    fingerprint = leases.members(redis, study_id)[0]
    body = {"fingerprint": fingerprint, "state": "failed", "attempt": 1, "error": "x" * 10_000_000}
    redis.xadd(telemetry.EVENTS, {"kind": "stage", "body": json.dumps(body)})
    recorder.drain_idle(settings())
    with database.reading() as connection:
        [(length,)] = connection.execute("SELECT max(length(error)) FROM states").fetchall()
    assert length == ERROR_CHARACTERS
    redis.close()


def test_hostile_names_are_saved_as_text(database: Database) -> None:
    harm = "'; DROP TABLE studies; -- <script>alert(1)</script>"
    study_id = launch.launch(tiny_study(name=harm, note=harm))
    recorder.drain_idle(settings())
    saved = studies.study(database, study_id).study
    assert (saved.name, saved.note) == (harm, harm)
