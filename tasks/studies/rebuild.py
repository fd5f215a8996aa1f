"""Making Redis, the database and the artifacts agree again, after one was lost or put back to an earlier day."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis

from data.artifacts.store import Artifacts
from data.database.database import Database
from data.queries import launches, studies
from data.queries.launches import Launch, LaunchedStage
from data.settings import Settings
from engine.study.plan import Stage
from tasks.broker.connection import client, errors_explained
from tasks.queue import celery_app, leases, telemetry
from tasks.queue.leases import Adopted, State
from tasks.services.recorder import drain_idle, join
from tasks.studies.launch import tell_results
from tasks.studies.lock import turn

# The database may be behind a worker of a Redis that is gone. An attempt fences only what has a lower one.
ATTEMPTS_BEYOND = 10
# A recorder that runs is never so far behind.
RECORDER_SECONDS = 30.0


class RebuildError(RuntimeError):
    """What is kept cannot be put in order from here."""


@dataclass(frozen=True)
class Rebuilt:
    """What was done about a study, in words."""

    study_id: str
    name: str
    what: str


def rebuild(config: Settings) -> list[Rebuilt]:
    """Make the queue know what the database knows and the other way round; what agrees is left as it is.

    Works while workers train. Raises RebuildError where there is no database, or the recorder does not keep up.
    """
    require_database(config)
    store, redis, artifacts = Database(config.database), client(config), Artifacts(config.artifacts)
    with errors_explained(config), turn(config):
        require_recorded(config, redis)
        _move_stream_on(redis, launches.newest_event(store))
        gone, finished = launches.deleted(store), artifacts.finished()
        done: list[Rebuilt] = []
        known = set(leases.studies(redis))
        done += [_forget(redis, study_id) for study_id in sorted(known & gone)]
        lost = [launches.read(store, study_id) for study_id in launches.study_ids(store) if study_id not in known]
        # What a live study needs is not cancelled with another that shares it.
        for launch in sorted(lost, key=lambda launch: _is_cancelled(store, launch)):
            done.append(_register(redis, store, artifacts, launch, finished))
        for study_id in sorted(known - gone):
            done += _tell(config, redis, store, artifacts, study_id, finished)
        if config.redis_url is None:
            drain_idle(config)
    return done


def require_database(config: Settings) -> None:
    """Raise RebuildError where this home has no database, as on a host that only has workers."""
    if not config.database.exists():
        raise RebuildError(
            f"there is no database at {config.database}; do this where the recorder runs, or set TICKETSCOPE_HOME"
        )


def require_recorded(config: Settings, redis: Redis) -> None:
    """Wait until the recorder has written down all that was told so far; RebuildError where it does not."""
    if not caught_up(config, redis, RECORDER_SECONDS):
        raise RebuildError("events wait to be recorded; start python -m tasks recorder, then try again")


def caught_up(config: Settings, redis: Redis, seconds: float) -> bool:
    """Wait for so long for the recorder to write down all that was told so far, and return whether it has."""
    # The events of a given Redis belong to the recorder beside it.
    if config.redis_url is None:
        drain_idle(config)
    last, deadline = telemetry.last_event(redis), time.monotonic() + seconds
    while not telemetry.recorded_until(redis, last):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _move_stream_on(redis: Redis, newest: str) -> None:
    """Let later events have later ids than any that the database has seen, or they would lose against old rows."""
    join(redis)
    if _order(telemetry.last_event(redis)) < _order(newest):
        redis.execute_command("XSETID", telemetry.EVENTS, newest)  # type: ignore[no-untyped-call]


def _order(identifier: str) -> tuple[int, ...]:
    return tuple(int(part) for part in identifier.split("-"))


def _forget(redis: Redis, study_id: str) -> Rebuilt:
    body = leases.launched(redis, study_id) or {}
    leases.forget(redis, study_id, datetime.now(UTC).isoformat())
    return Rebuilt(study_id, str(body.get("name", "")), "was deleted, and is out of the queue again")


def _is_cancelled(store: Database, launch: Launch) -> bool:
    return studies.study(store, launch.study_id).state == "cancelled"


def _register(redis: Redis, store: Database, artifacts: Artifacts, launch: Launch, finished: set[str]) -> Rebuilt:
    """Make a study that Redis does not know go on from where the database and the artifacts have it."""
    cancelled = _is_cancelled(store, launch)
    _, damaged = _tell_kept(redis, store, artifacts, launch.stages.keys() & finished)
    states = resolved(launch, finished - damaged, cancelled)
    entries = [_adopted(standing, fingerprint, *states[fingerprint]) for fingerprint, standing in launch.stages.items()]
    at = launch.cancelled_at.isoformat() if cancelled and launch.cancelled_at else None
    celery_app.send(leases.adopt(redis, launch.study_id, launch.body, at, entries))
    counts = leases.counts(redis, launch.study_id)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return Rebuilt(launch.study_id, launch.body["name"], f"is in the queue again: {told}")


def _adopted(standing: LaunchedStage, fingerprint: str, state: State, error: str) -> Adopted:
    settled = state == standing.state and state in ("done", "failed", "cancelled")
    return Adopted(
        fingerprint=fingerprint,
        spec=standing.stage.model_dump_json(),
        parent=standing.stage.parent or "",
        state=state,
        attempt=max(1, standing.attempt) if state == "done" else standing.attempt + ATTEMPTS_BEYOND,
        error=error,
        told=settled and standing.reported and error == standing.error,
    )


def resolved(launch: Launch, finished: set[str], cancelled: bool) -> dict[str, tuple[State, str]]:
    """Return for each stage of a study that Redis does not know how it should stand, and its error.

    What the artifacts have is done. What only the database has is done too, unless its weights are needed to go on.
    """
    needed: set[str | None] = set()
    found: dict[str, tuple[State, str]] = {}
    # Children first, since they say what is needed.
    for fingerprint, standing in reversed(launch.stages.items()):
        state: State = "waiting"
        error = ""
        if fingerprint in finished or (standing.state == "done" and fingerprint not in needed):
            state = "done"
        elif standing.state == "failed":
            state, error = "failed", standing.error
        elif cancelled:
            state = "cancelled"
        elif standing.stage.fingerprint != fingerprint:
            state = "failed"
            error = (
                "It was launched by another version of the engine, whose results would differ; launch the study anew."
            )
        else:
            needed |= {standing.stage.parent, standing.stage.root}
        found[fingerprint] = (state, error)
    return found


def _tell(
    config: Settings, redis: Redis, store: Database, artifacts: Artifacts, study_id: str, finished: set[str]
) -> list[Rebuilt]:
    """Tell a study that Redis knows again where the database lacks some of it."""
    body = leases.launched(redis, study_id)
    if body is None:
        return []
    fingerprints = [str(stage["fingerprint"]) for stage in body["stages"]]
    before = leases.states(redis, fingerprints)
    require_recorded(config, redis)
    recorded = _recorded_states(store, study_id)
    after = leases.states(redis, fingerprints)
    # What changes at this moment is on its way to the database by itself.
    still = {fingerprint: state for fingerprint, state in after.items() if before.get(fingerprint) == state}
    behind = {fingerprint for fingerprint, state in still.items() if recorded.get(fingerprint) != state}
    cancelled = leases.is_cancelled(redis, study_id)
    lost_end = (
        cancelled and study_id in launches.study_ids(store) and launches.read(store, study_id).cancelled_at is None
    )
    results, _ = _tell_kept(
        redis, store, artifacts, finished & {key for key, state in after.items() if state == "done"}
    )
    if not (behind or lost_end or results):
        return []
    entries = [_known(stage) for stage in body["stages"]]
    at = datetime.now(UTC).isoformat() if cancelled else None
    celery_app.send(leases.adopt(redis, study_id, body, at, entries))
    what = f"is told to the database again: {len(behind)} states, {results} results"
    return [Rebuilt(study_id, str(body["name"]), what)]


def _known(values: Mapping[str, object]) -> Adopted:
    fingerprint = str(values["fingerprint"])
    stage = Stage.model_validate({key: value for key, value in values.items() if key != "fingerprint"})
    return Adopted(fingerprint, stage.model_dump_json(), stage.parent or "", "waiting", 1, "", told=False)


def _recorded_states(store: Database, study_id: str) -> dict[str, str]:
    if study_id not in launches.study_ids(store):
        return {}
    return {fingerprint: standing.state for fingerprint, standing in launches.read(store, study_id).stages.items()}


def _tell_kept(redis: Redis, store: Database, artifacts: Artifacts, fingerprints: set[str]) -> tuple[int, set[str]]:
    """Tell the results that the database lacks; return how many those are, and which do not read."""
    missing = fingerprints - studies.recorded(store)
    damaged = tell_results(redis, artifacts, missing)
    return len(missing) - len(damaged), damaged
