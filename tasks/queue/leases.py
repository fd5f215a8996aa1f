"""Leases of stages: which worker trains which stage, and every change of a stage's state.

Each change is a Lua script in `lua/`: in one step, it changes state and lease and publishes the change to the recorder.
The attempt number is a fence: a worker whose number is lower than the one in Redis has lost the stage. Leases end by
the service's own time, which `tick` advances, and not by a clock, since clocks differ and jump.
"""

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from data.database.events import State
from engine.study.plan import SHAPE, Stage
from engine.study.results import Epoch, StageResult
from engine.training.capacity import Capacity
from tasks.queue.equal import Content, refuse
from tasks.queue.scripts import PREFIX, run

QUEUE = PREFIX + "queue"
# The two lists of the queue's messages: those of stages that were begun before, then those of new stages.
LISTS = (QUEUE, QUEUE + "\x06\x163")
FINGERPRINT = re.compile(r"[0-9a-f]{32}")

FAILURES_ALLOWED = 2
DEATHS_ALLOWED = 5
LOSSES_ALLOWED = 5
# The most queued stages among which a worker searches for stages of the shape that it trains.
SEARCHED = 500


@dataclass(frozen=True)
class Message:
    """A message of the queue: the stage to train, and the number of the attempt."""

    fingerprint: str
    attempt: int


@dataclass(frozen=True)
class AdoptedStage:
    """A stage for `adopt`; state: the one it gets if Redis does not know it; recorded: the database has that state."""

    fingerprint: str
    spec: str
    parent: str
    state: State
    attempt: int
    error: str
    recorded: bool


class LeaseLost(Exception):
    """Another worker has the stage by now: its training must stop and write nothing more."""


class StageCancelled(Exception):
    """No study needs the stage any more."""


def register(
    redis: Redis,
    study_id: str,
    launched: Mapping[str, Any],
    stages: Sequence[Stage],
    finished: Container[str],
    lost: Container[str] = (),
    once: Content | None = None,
) -> list[Message]:
    """Add a study's stages to the queue, and return messages for those that can be trained now.

    launched: the body of the event for the recorder. stages: parents first. finished: fingerprints of stages with a
    saved result. lost: those of stages that Redis has as done although their results are missing. Failed, cancelled and
    lost stages start again; stages that another study has registered are shared with it. once: the content of a launch;
    raises LaunchedBefore if an equal study was just launched.
    """
    entries = [
        {
            "fingerprint": stage.fingerprint,
            "spec": stage.model_dump_json(),
            "parent": stage.parent or "",
            "finished": stage.fingerprint in finished,
            "lost": stage.fingerprint in lost,
        }
        for stage in stages
    ]
    arguments = once.arguments if once else ()
    answer = run(redis, "register", study_id, json.dumps(launched), json.dumps(entries), *arguments)
    refuse(answer)
    return _messages(answer)


def adopt(
    redis: Redis, study_id: str, launched: Mapping[str, Any], cancelled_at: str | None, stages: Sequence[AdoptedStage]
) -> list[Message]:
    """Restore a study from the database, or publish it again if Redis has it; return the messages to send.

    Unlike with `register`, no stage starts again: one that Redis knows keeps its state. stages: parents first.
    """
    cancelled = json.dumps({"study_id": study_id, "at": cancelled_at}) if cancelled_at else ""
    entries = json.dumps([asdict(stage) for stage in stages])
    return _messages(run(redis, "adopt", study_id, json.dumps(launched), cancelled, entries))


def forget(redis: Redis, study_id: str, at: str, stages: Iterable[str] = ()) -> set[str]:
    """Remove a study and the stages that no other study has, and return the fingerprints of these stages.

    stages: the study's stages according to the database, in case Redis does not know them.
    """
    event = json.dumps({"study_id": study_id, "at": at})
    return set(map(str, run(redis, "forget", study_id, event, json.dumps(list(stages)))))


def claim(redis: Redis, message: Message, worker: str, host: str, device: str, lease: float) -> Stage | None:
    """Claim a queued stage for `lease` seconds; None if another worker has it or the message is outdated."""
    spec = run(redis, "claim", message.fingerprint, message.attempt, worker, host, device, _ms(lease))
    return None if spec is None else Stage.model_validate_json(spec)


@dataclass(frozen=True)
class Sharing:
    """What a worker's share depends on: its number of stages, whether these train already, live and idle workers."""

    held: int
    joining: bool
    workers: int
    idle: int


def claim_alike(
    redis: Redis, stage: Stage, capacity: Capacity, sharing: Sharing, worker: str, host: str, device: str, lease: float
) -> list[tuple[Message, Stage]]:
    """Claim queued stages of the shape of a stage that this worker has, to train them side by side with it.

    First come stages that were begun before, until the worker has as many stages as fit, then new ones, until it has as
    many as are fastest. The idle workers get a share of the stages begun before, and all live workers one of the new
    stages. Stages that join others in training are shared with the idle workers only, and new ones join only if no
    stage of another shape has waited longer. The messages of claimed stages arrive later and have no effect.
    """
    spec = stage.model_dump_json()
    place = worker, host, device, _ms(lease)
    limits = sharing.held, capacity.fastest, capacity.most
    workers = max(1, sharing.workers), sharing.idle, "1" if sharing.joining else ""
    claimed = run(redis, "claim_alike", spec, *place, json.dumps(SHAPE), SEARCHED, *limits, *workers)
    return [(Message(str(name), int(attempt)), Stage.model_validate_json(spec)) for name, attempt, spec in claimed]


def renew(redis: Redis, message: Message, lease: float, epochs: Iterable[Epoch] = ()) -> None:
    """Extend a lease and publish epochs, in one step; raises LeaseLost or StageCancelled instead of either."""
    rows = [list(vars(epoch).values()) for epoch in epochs]
    event = json.dumps({"fingerprint": message.fingerprint, "rows": rows}) if rows else ""
    _require_ok(run(redis, "renew", message.fingerprint, message.attempt, _ms(lease), event))


def show_progress(redis: Redis, message: Message, fields: dict[str, str | float], seconds: float) -> None:
    """Publish a stage's live progress for some seconds; raises LeaseLost or StageCancelled instead."""
    flat = [part for pair in fields.items() for part in pair]
    _require_ok(run(redis, "progress", message.fingerprint, message.attempt, round(seconds), *flat))


def done(redis: Redis, message: Message, result: StageResult) -> list[Message]:
    """Finish a stage, publish its result, and return the messages of its children; raises LeaseLost."""
    event = json.dumps({"fingerprint": message.fingerprint, "result": result.to_json()}, allow_nan=False)
    return _messages(run(redis, "done", message.fingerprint, message.attempt, event))


def fail(redis: Redis, message: Message, error: str, retry: bool = True) -> list[Message]:
    """Record a failure, and return the message of the next attempt unless too many failed or retry is False."""
    allowed = FAILURES_ALLOWED if retry else 0
    return _messages([run(redis, "fail", message.fingerprint, message.attempt, error, allowed)])


def miss(redis: Redis, message: Message, lost: str, error: str) -> list[Message]:
    """Make a stage wait until the stage `lost`, whose weights it needs and which are missing, is trained again.

    Returns the message of the lost stage, unless another worker has sent it; raises LeaseLost. After LOSSES_ALLOWED
    losses, the stage that waits fails.
    """
    return _messages(run(redis, "miss", message.fingerprint, message.attempt, lost, error, LOSSES_ALLOWED))


def release(redis: Redis, message: Message) -> list[Message]:
    """Return a stage to the queue with its checkpoint, and return the message by which another worker resumes it."""
    return _messages([run(redis, "release", message.fingerprint, message.attempt)])


def tick(redis: Redis, seen: str, seconds: float) -> str:
    """Advance the service's time by some seconds, unless another did since the time `seen`, and return it (ms)."""
    return str(run(redis, "tick", seen, _ms(seconds)))


def reap(redis: Redis, stale: float) -> list[Message]:
    """Queue stages whose leases expired, and return their messages and those of stages whose message was lost."""
    return _messages(run(redis, "reap", DEATHS_ALLOWED, _ms(stale), *LISTS))


def expire(redis: Redis, worker: str) -> int:
    """End the leases of a dead worker, so that the reaper queues its stages, and return the number of leases."""
    return int(run(redis, "expire", worker))


def cancel(redis: Redis, study_id: str, at: str) -> int | None:
    """Cancel a study's stages that no other live study needs; return their number, -1 if all are done, or None."""
    answer = run(redis, "cancel", study_id, json.dumps({"study_id": study_id, "at": at}))
    return None if answer is None else int(answer)


def now(redis: Redis) -> str:
    """Return the time by the clock of Redis, which dates all events."""
    seconds, microseconds = redis.time()
    return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC).isoformat()


def launched(redis: Redis, study_id: str) -> dict[str, Any] | None:
    """Return the body of the event that launched a study, None for an unknown study."""
    text = redis.hget(f"{PREFIX}study:{study_id}", "launched")
    return None if text is None else dict(json.loads(str(text)))


def is_known(redis: Redis, study_id: str) -> bool:
    """Return whether Redis knows a study."""
    return bool(redis.exists(f"{PREFIX}study:{study_id}"))


def is_cancelled(redis: Redis, study_id: str) -> bool:
    """Return whether a study was cancelled and not retried since."""
    return redis.hget(f"{PREFIX}study:{study_id}", "cancelled") is not None


def states(redis: Redis, fingerprints: Sequence[str]) -> dict[str, State]:
    """Return the state of each stage that Redis knows."""
    pipeline = redis.pipeline(transaction=False)
    for fingerprint in fingerprints:
        pipeline.hget(f"{PREFIX}stage:{fingerprint}", "state")
    pairs = zip(fingerprints, pipeline.execute(), strict=True)
    return {fingerprint: state for fingerprint, state in pairs if state is not None}


def members(redis: Redis, study_id: str) -> list[str]:
    """Return the fingerprints of a study's stages, in no order; an empty list for an unknown study."""
    return [str(member) for member in redis.smembers(f"{PREFIX}members:{study_id}")]


def all_members(redis: Redis, but: Container[str] = ()) -> set[str]:
    """Return the fingerprints of the stages of all studies but some."""
    return {
        fingerprint for study_id in studies(redis) if study_id not in but for fingerprint in members(redis, study_id)
    }


def datasets(redis: Redis, fingerprints: Iterable[str]) -> set[str]:
    """Return the identities of the images that some stages train on, without stages that Redis does not know."""
    pipeline = redis.pipeline(transaction=False)
    for fingerprint in fingerprints:
        pipeline.hget(f"{PREFIX}stage:{fingerprint}", "spec")
    return {str(json.loads(spec)["images"]["identity"]) for spec in pipeline.execute() if spec is not None}


def counts(redis: Redis, study_id: str) -> Counter[State]:
    """Return the number of a study's stages in each state; empty for an unknown study."""
    return Counter(states(redis, members(redis, study_id)).values())


def studies(redis: Redis, prefix: str = "") -> list[str]:
    """Return the ids of the studies in Redis that begin with a prefix."""
    # The prefix is text, not a pattern; the client sends characters that it cannot encode as question marks.
    escaped = re.sub(r"([*?\[\]\\])", r"\\\1", prefix.encode(errors="replace").decode())
    start = len(f"{PREFIX}study:")
    return sorted(str(key)[start:] for key in redis.scan_iter(f"{PREFIX}study:{escaped}*", count=1000))


def _require_ok(answer: str) -> None:
    if answer == "cancelled":
        raise StageCancelled
    if answer != "ok":
        raise LeaseLost


def _messages(answer: Iterable[Sequence[Any] | None] | None) -> list[Message]:
    """Return the messages in a script's answer; raises LeaseLost for an answer of nil."""
    if answer is None:
        raise LeaseLost
    return [Message(str(pair[0]), int(pair[1])) for pair in answer if pair is not None]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
