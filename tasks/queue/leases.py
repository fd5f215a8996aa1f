"""Who trains which stage: leases with fencing, and every change of a stage's state.

Each change is one small Lua script (`tasks/lua`), which changes the state and the lease and tells it to the recorder's
stream in one step. An attempt number fences: whoever holds an older one than Redis has lost the stage.
"""

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from redis import Redis
from redis.commands.core import Script

from engine.capacity import Capacity
from engine.study.plan import SHAPE, Stage
from engine.study.results import Epoch, StageResult

PREFIX = "ticketscope:"
QUEUE = PREFIX + "queue"
# Where its messages lie: first those of stages that were begun before, then all others.
LISTS = (QUEUE, QUEUE + "\x06\x163")
FINGERPRINT = re.compile(r"[0-9a-f]{32}")

FAILURES_ALLOWED = 2
DEATHS_ALLOWED = 5
LOSSES_ALLOWED = 5
# Of the queued stages, those that are looked at for one that can be trained beside another.
LOOKED_AT = 500

State = Literal["waiting", "queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Timing:
    """The clockwork of leases, in seconds.

    lease: how long one lasts unless renewed. heartbeat: between renewals. reap: between looks for leases that ran out.
    stale: age from which a queued stage is sent again when no messages wait.
    """

    lease: float = 20.0
    heartbeat: float = 5.0
    reap: float = 2.0
    stale: float = 5.0


@dataclass(frozen=True)
class Message:
    """What Celery carries: train this stage, as this attempt."""

    fingerprint: str
    attempt: int


@dataclass(frozen=True)
class Adopted:
    """A stage for `adopt`: its state if Redis does not know it; recorded: whether the database has that state."""

    fingerprint: str
    spec: str
    parent: str
    state: State
    attempt: int
    error: str
    recorded: bool


class LeaseLost(Exception):
    """Another worker has the stage by now: leave it alone, write nothing more."""


class Cancelled(Exception):
    """Nobody wants the stage any more."""


def register(
    redis: Redis,
    study_id: str,
    launched: Mapping[str, Any],
    stages: Sequence[Stage],
    finished: Container[str],
    lost: Container[str] = (),
) -> list[Message]:
    """Make a study's stages known, and return messages for those that can be trained now.

    launched: the body of the event that tells the recorder. stages: parents first. finished: fingerprints whose results
    are kept. lost: those that Redis holds for done although they are not. Failed, cancelled and lost stages start anew;
    what another study has registered is shared with it.
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
    return _messages(_run(redis, "register", study_id, json.dumps(launched), json.dumps(entries)))


def adopt(
    redis: Redis, study_id: str, launched: Mapping[str, Any], cancelled_at: str | None, stages: Sequence[Adopted]
) -> list[Message]:
    """Make a study known again as the database has it, or tell it again as Redis has it; return what to send.

    Unlike `register`, nothing starts anew: a stage that Redis knows stays as it is. stages: parents first.
    """
    cancelled = json.dumps({"study_id": study_id, "at": cancelled_at}) if cancelled_at else ""
    entries = json.dumps([asdict(stage) for stage in stages])
    return _messages(_run(redis, "adopt", study_id, json.dumps(launched), cancelled, entries))


def forget(redis: Redis, study_id: str, at: str, stages: Iterable[str] = ()) -> set[str]:
    """Remove a study and the stages that no other study has, and return those.

    stages: fingerprints of the study that the database knows, in case Redis does not.
    """
    event = json.dumps({"study_id": study_id, "at": at})
    return set(map(str, _run(redis, "forget", study_id, event, json.dumps(list(stages)))))


def claim(redis: Redis, message: Message, worker: str, host: str, device: str, lease: float) -> Stage | None:
    """Take a queued stage for `lease` seconds; None where another worker has it or the message is out of date."""
    spec = _run(redis, "claim", message.fingerprint, message.attempt, worker, host, device, _ms(lease))
    return None if spec is None else Stage.model_validate_json(spec)


@dataclass(frozen=True)
class Sharing:
    """How a worker takes stages: it holds some already, `joining` where these train; live workers, and idle others."""

    held: int
    joining: bool
    workers: int
    idle: int


def claim_alike(
    redis: Redis, stage: Stage, room: Capacity, sharing: Sharing, worker: str, host: str, device: str, lease: float
) -> list[tuple[Message, Stage]]:
    """Take queued stages of the shape of one that this worker has, to be trained side by side with it.

    Those that were begun before come first, as many as fit, shared with the idle workers. Then others, as many as are
    fastest: at first a fair share among all that live; to join those in training whatever is left, also shared with the
    idle, unless a stage of another shape has waited longer. The messages of those taken are still on their way, and
    find them claimed.
    """
    spec = stage.model_dump_json()
    place = worker, host, device, _ms(lease)
    shared = (
        sharing.held,
        room.fastest,
        room.most,
        max(1, sharing.workers),
        sharing.idle,
        "1" if sharing.joining else "",
    )
    found = _run(redis, "claim_alike", spec, *place, json.dumps(SHAPE), LOOKED_AT, *shared)
    return [(Message(str(name), int(attempt)), Stage.model_validate_json(spec)) for name, attempt, spec in found]


def renew(redis: Redis, message: Message, lease: float, epochs: Iterable[Epoch] = ()) -> None:
    """Extend a lease and publish epochs, in one step; raises LeaseLost or Cancelled, and then publishes nothing."""
    rows = [list(asdict(epoch).values()) for epoch in epochs]
    event = json.dumps({"fingerprint": message.fingerprint, "rows": rows}) if rows else ""
    _stand(_run(redis, "renew", message.fingerprint, message.attempt, _ms(lease), event))


def show_progress(redis: Redis, message: Message, fields: dict[str, str | float], seconds: float) -> None:
    """Show how far a stage is for some seconds; raises LeaseLost or Cancelled, and then shows nothing."""
    flat = [part for pair in fields.items() for part in pair]
    _stand(_run(redis, "progress", message.fingerprint, message.attempt, round(seconds), *flat))


def done(redis: Redis, message: Message, result: StageResult) -> list[Message]:
    """Finish a stage, publish its result, and return the messages of its children; raises LeaseLost."""
    event = json.dumps({"fingerprint": message.fingerprint, "result": result.to_json()}, allow_nan=False)
    answer = _run(redis, "done", message.fingerprint, message.attempt, event)
    if answer is None:
        raise LeaseLost(f"stage {message.fingerprint}, attempt {message.attempt}")
    return _messages(answer)


def fail(redis: Redis, message: Message, error: str, retry: bool = True) -> list[Message]:
    """Note a failure, and return the message of the next attempt unless there have been too many or retry is False."""
    allowed = FAILURES_ALLOWED if retry else 0
    return _messages([_run(redis, "fail", message.fingerprint, message.attempt, error, allowed)])


def miss(redis: Redis, message: Message, lost: str, error: str) -> list[Message]:
    """Send a stage back to wait until a stage that it builds on, whose weights are lost, is trained again.

    Returns the message of the stage to train again, unless somebody else has sent it; raises LeaseLost. A stage whose
    weights are lost again and again makes this one fail.
    """
    answer = _run(redis, "miss", message.fingerprint, message.attempt, lost, error, LOSSES_ALLOWED)
    if answer is None:
        raise LeaseLost(f"stage {message.fingerprint}, attempt {message.attempt}")
    return _messages(answer)


def release(redis: Redis, message: Message) -> list[Message]:
    """Hand a stage back, checkpoint and all, and return the message by which another worker goes on with it."""
    return _messages([_run(redis, "release", message.fingerprint, message.attempt)])


def reap(redis: Redis, stale: float) -> list[Message]:
    """Take back the stages whose leases ran out, and return them with those whose message was lost, to be sent."""
    return _messages(_run(redis, "reap", DEATHS_ALLOWED, _ms(stale), *LISTS))


def expire(redis: Redis, worker: str) -> int:
    """End the leases of a worker that is known to be dead, for the reaper to find; return how many."""
    return int(_run(redis, "expire", worker))


def cancel(redis: Redis, study_id: str, at: str) -> int | None:
    """Cancel a study's stages that no other live study needs; return how many, None for a study not known."""
    event = json.dumps({"study_id": study_id, "at": at})
    answer = _run(redis, "cancel", study_id, event)
    return None if answer is None else int(answer)


def launched(redis: Redis, study_id: str) -> dict[str, Any] | None:
    """Return what was published when a study was launched, None for a study not known."""
    text = redis.hget(f"{PREFIX}study:{study_id}", "launched")
    return None if text is None else dict(json.loads(str(text)))


def is_known(redis: Redis, study_id: str) -> bool:
    """Return whether Redis knows a study at all."""
    return bool(redis.exists(f"{PREFIX}study:{study_id}"))


def is_cancelled(redis: Redis, study_id: str) -> bool:
    """Return whether a study was cancelled and not retried since."""
    return redis.hget(f"{PREFIX}study:{study_id}", "cancelled") is not None


def states(redis: Redis, fingerprints: Sequence[str]) -> dict[str, State]:
    """Return the state of each stage that Redis knows."""
    pipeline = redis.pipeline(transaction=False)
    for fingerprint in fingerprints:
        pipeline.hget(f"{PREFIX}stage:{fingerprint}", "state")
    found = zip(fingerprints, pipeline.execute(), strict=True)
    return {fingerprint: state for fingerprint, state in found if state is not None}


def members(redis: Redis, study_id: str) -> list[str]:
    """Return the fingerprints of a study's stages, in no order; none for a study not known."""
    return [str(member) for member in redis.smembers(f"{PREFIX}members:{study_id}")]


def all_members(redis: Redis, but: str = "") -> set[str]:
    """Return the fingerprints of the stages of all studies, but for one."""
    return {fingerprint for study_id in studies(redis) if study_id != but for fingerprint in members(redis, study_id)}


def datasets(redis: Redis, fingerprints: Iterable[str]) -> set[str]:
    """Return the identities of the images that some stages train on, as far as Redis knows the stages."""
    pipeline = redis.pipeline(transaction=False)
    for fingerprint in fingerprints:
        pipeline.hget(f"{PREFIX}stage:{fingerprint}", "spec")
    return {str(json.loads(spec)["images"]["identity"]) for spec in pipeline.execute() if spec is not None}


def counts(redis: Redis, study_id: str) -> Counter[State]:
    """Return how many stages of a study are in each state; empty for a study not known."""
    return Counter(states(redis, members(redis, study_id)).values())


def studies(redis: Redis, prefix: str = "") -> list[str]:
    """Return the ids of the studies that Redis knows and that begin so."""
    # What is asked for is text, not a pattern; what the client cannot encode it would send as a question mark.
    escaped = re.sub(r"([*?\[\]\\])", r"\\\1", prefix.encode(errors="replace").decode())
    start = len(f"{PREFIX}study:")
    return sorted(str(key)[start:] for key in redis.scan_iter(f"{PREFIX}study:{escaped}*", count=1000))


def _run(redis: Redis, name: str, *arguments: str | float) -> Any:
    return Script(redis, _source(name))(keys=[PREFIX], args=list(arguments))


@lru_cache
def _source(name: str) -> str:
    folder = Path(__file__).with_name("lua")
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("transition", name))


def _stand(answer: str) -> None:
    if answer == "cancelled":
        raise Cancelled
    if answer != "ok":
        raise LeaseLost


def _messages(answer: Iterable[Sequence[Any] | None]) -> list[Message]:
    return [Message(str(pair[0]), int(pair[1])) for pair in answer if pair is not None]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
