"""Forged messages in the queue, from someone who has the password of Redis: a worker refuses them and continues."""

import base64
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.queue import celery_app, leases, transport
from tests.machine import Machine, tiny_study, wait_for


class Payload:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.mkdir, (str(self.path),)


def encoded(body: bytes | str) -> str:
    return base64.b64encode(body.encode() if isinstance(body, str) else body).decode()


def message(body: bytes | str, kind: str = "application/json", task: str = celery_app.TASK, **more: Any) -> str:
    """Return a message as kombu writes it to Redis."""
    headers = {"lang": "py", "task": task, "id": "a-forged-id", "argsrepr": "", "kwargsrepr": "", **more}
    info = {"exchange": "", "routing_key": leases.QUEUE}
    properties = {
        "correlation_id": "a-forged-id",
        "reply_to": "nobody",
        "delivery_mode": 2,
        "delivery_info": info,
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": os.urandom(8).hex(),
    }
    return json.dumps(
        {
            "body": encoded(body),
            "content-encoding": "utf-8" if isinstance(body, str) else "binary",
            "content-type": kind,
            "headers": headers,
            "properties": properties,
        }
    )


def call(*arguments: Any, options: Any = None, **named: Any) -> str:
    """Return the body of a call as Celery writes it."""
    return json.dumps([list(arguments), named, options or {}])


def outer(**changes: Any) -> str:
    """Return a well-formed message with some fields replaced; ... removes a field."""
    values = json.loads(message(call("0" * 32, 1)))
    for path, value in changes.items():
        *folders, last = path.split("__")
        inside = values
        for folder in folders:
            inside = inside[folder]
        if value is ...:
            del inside[last]
        else:
            inside[last] = value
    return json.dumps(values)


def hostile(trap: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yield forged messages with a name each; a worker that obeys one creates the trap."""
    pickled = pickle.dumps(Payload(trap))
    yaml = f"!!python/object/apply:os.mkdir ['{trap}']"
    yield "pickle", message(pickled, "application/x-python-serialize")
    yield "pickle called json", message(pickled)
    yield "yaml", message(yaml, "application/x-yaml")
    yield "yaml called json", message(yaml)
    yield "msgpack", message(b"\x93\x90\x80\x80", "application/x-msgpack")
    yield "unknown kind", message("x", "application/x-unheard-of")
    yield "compressed bomb", message(call("0" * 32, 1), compression="application/x-gzip")
    for task in (
        "celery.map",
        "celery.chord",
        "celery.backend_cleanup",
        "celery.accumulate",
        "os.mkdir",
        "",
        "x" * 9999,
    ):
        yield f"task {task[:30]!r}", message(call([str(trap)]), task=task)
    for task in (None, 5, [], {"a": 1}):
        yield f"task {task!r}", message(call("0" * 32, 1), task=task)  # type: ignore[arg-type]
    for arguments in (
        (),
        (1,),
        (None, None),
        ("../../../" + str(trap), 1),
        (str(trap), 1),
        ("0" * 32, "1; DROP TABLE studies"),
        ("0" * 32, -1),
        ("0" * 32, 10**400),
        ("0" * 32, float("nan")),
        ("0" * 32, [[[]]]),
        ({"a": "b"}, {"c": "d"}),
        (["0" * 32], True),
        ("\0", 1),
        ("\ud800", 1),
        ("f" * 5_000_000, 1),
        ("0" * 32, 1, "one too many"),
    ):
        yield f"arguments {str(arguments)[:40]}", message(call(*arguments))
    yield "named arguments", message(call("0" * 32, 1, shell="touch x", device="cuda"))
    yield (
        "links",
        message(call("0" * 32, 1, options={"callbacks": [{"task": "celery.map"}], "errbacks": 5, "chain": 7})),
    )
    for body in (
        "",
        "null",
        "5",
        "[]",
        "[[]]",
        '[["a", 1]',
        "[" * 100_000,
        '{"task": 1}',
        "[5, 5, 5]",
        '[["a", 1], [], 3]',
    ):
        yield f"body {body[:20]!r}", message(body)
    yield "body of no utf-8", message(b"\xff\xfe\x00")
    yield "eta", message(call("0" * 32, 1), eta="never", expires="yesterday", timelimit="long", retries="many")
    yield "eta of another kind", message(call("0" * 32, 1), eta=[1], expires={}, timelimit=[None, "x"], retries=-5)
    yield "far eta", message(call("0" * 32, 1), eta="9999-12-31T23:59:59.999999+00:00")
    for changes in (
        {"headers": ...},
        {"headers": None},
        {"headers": []},
        {"headers": {}},
        {"headers": 5},
        {"body": ...},
        {"body": 5},
        {"body": "%%%"},
        {"content-type": 5},
        {"content-type": ...},
        {"content-encoding": "rot13"},
        {"content-encoding": 5},
        {"properties": ...},
        {"properties": None},
        {"properties": {}},
        {"properties__delivery_tag": ...},
        {"properties__delivery_tag": {"a": []}},
        {"properties__delivery_info": ...},
        {"properties__delivery_info": None},
        {"properties__body_encoding": "zip"},
        {"headers__id": ...},
        {"headers__id": {"a": 1}},
    ):
        yield f"message with {changes}", outer(**changes)
    for text in ("", "not JSON", "null", "5", "[]", "{}", '"text"', "[" * 100_000, b"\xff\xfe\x00", "{" * 10):
        yield f"raw {text[:20]!r}", text


def test_a_worker_survives_any_message_and_keeps_training(machine: Machine, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    forged = list(hostile(trap))
    assert len(forged) > 70
    machine.recorder()
    worker = machine.worker()
    for _, text in forged:
        machine.redis.lpush(leases.QUEUE, text)
    # Kombu would put such entries of a dead worker back into the queue.
    machine.redis.hset("unacked", "forged", "not JSON")
    machine.redis.zadd("unacked_index", {"forged": 1})
    wait_for(lambda: machine.redis.llen(leases.QUEUE) == 0)
    study_id = machine.launch(tiny_study())
    machine.wait_until(study_id)
    assert worker.poll() is None
    assert not trap.exists()
    assert machine.redis.hkeys("unacked") == ["forged"]
    weights = Path(machine.config.artifacts, "weights")
    assert {folder.name for folder in weights.iterdir()} == set(leases.members(machine.redis, study_id))


@pytest.mark.parametrize(("name", "text"), list(hostile(Path("/nowhere/trap"))))
def test_a_forged_message_is_refused_or_names_a_stage_alone(name: str, text: str | bytes) -> None:
    del name
    try:
        stage_message = transport.read(json.loads(text))
    except (ValueError, RecursionError):
        return
    assert stage_message == leases.Message("0" * 32, 1)
    links = json.loads(base64.b64decode(transport.celery_message(stage_message, leases.QUEUE)["body"]))[2]
    assert links == {}


def test_a_worker_reads_the_messages_that_the_launcher_sends(machine: Machine) -> None:
    sent = leases.Message("a" * 32, 3)
    celery_app.send([sent])
    text = machine.redis.lpop(leases.QUEUE)
    assert transport.read(json.loads(str(text))) == sent
    assert transport.read(transport.celery_message(sent, leases.QUEUE)) == sent
