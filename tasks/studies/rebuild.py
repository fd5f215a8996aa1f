"""Making Redis, the database and the artifacts agree after one of them was lost or restored to an earlier state."""

from dataclasses import dataclass
from datetime import datetime

from redis import Redis

from data.artifacts.store import Artifacts
from data.database.database import Database
from data.database.events import State
from data.queries import launches, results, studies
from data.queries.launches import Launch, LaunchedStage
from data.settings import Settings
from engine.errors import UserError
from tasks.broker.connection import client, errors_explained
from tasks.queue import celery_app, leases, naming, telemetry
from tasks.queue.leases import AdoptedStage
from tasks.queue.naming import Description
from tasks.services.recorder import drain_own, follow
from tasks.studies.launch import launched_stages, publish_results
from tasks.studies.lock import study_lock

# A worker of a lost Redis may have a higher attempt than the database, so stages continue this many attempts later.
ATTEMPTS_BEYOND = 10
# Seconds to wait for the recorder; one that runs is never this far behind.
RECORDER_SECONDS = 30.0
# Seconds that a page waits for the recorder after a change.
SETTLE_SECONDS = 1.0


class RebuildError(UserError):
    """The queue, the database and the artifacts cannot be made to agree on this host or now."""


@dataclass(frozen=True)
class Rebuilt:
    """A study that was changed; what: the rest of a sentence that begins with its name."""

    study_id: str
    name: str
    what: str


def rebuild(config: Settings) -> list[Rebuilt]:
    """Make the queue and the database have the same studies and states, and return the studies that were changed.

    Workers may train meanwhile. Raises RebuildError if there is no database or the recorder does not keep up.
    """
    require_database(config)
    database, redis, artifacts = Database(config.database), client(config), Artifacts(config.artifacts)
    with errors_explained(config), study_lock(config):
        require_recorded(config, redis)
        follow(redis, database)
        deleted, finished = launches.deleted(database), artifacts.finished()
        done: list[Rebuilt] = []
        known = set(leases.studies(redis))
        done += [_forget(redis, study_id) for study_id in sorted(known & deleted)]
        lost = [launches.read(database, study_id) for study_id in launches.study_ids(database) if study_id not in known]
        # Live studies first, so that their stages are not cancelled with a cancelled study that shares them.
        for launch in sorted(lost, key=lambda launch: _is_cancelled(database, launch)):
            done.append(_register(redis, database, artifacts, launch, finished))
        for study_id in sorted(known - deleted):
            done += _report(config, redis, database, artifacts, study_id, finished)
        drain_own(config)
    return done


def require_database(config: Settings) -> None:
    """Raise RebuildError if this home has no database, as on a host that only has workers."""
    if not config.database.exists():
        raise RebuildError(
            f"there is no database at {config.database}; do this where the recorder runs, or set TICKETSCOPE_HOME"
        )


def require_recorded(config: Settings, redis: Redis) -> None:
    """Wait until the recorder has recorded all events so far; RebuildError if it does not."""
    if not caught_up(config, redis, RECORDER_SECONDS):
        raise RebuildError("events wait to be recorded; start ticketscope recorder, then try again")


def caught_up(config: Settings, redis: Redis, seconds: float) -> bool:
    """Wait up to some seconds until all events so far are recorded, and return whether they are."""
    drain_own(config)
    return telemetry.wait_until_recorded(redis, seconds)


def settle(config: Settings) -> None:
    """Wait a moment until the recorder has written what was just changed, so that pages show it at once."""
    with errors_explained(config):
        caught_up(config, client(config), SETTLE_SECONDS)


def _forget(redis: Redis, study_id: str) -> Rebuilt:
    body = leases.launched(redis, study_id) or {}
    leases.forget(redis, study_id, leases.now(redis))
    return Rebuilt(study_id, str(body.get("name", "")), "was deleted, and is out of the queue again")


def _is_cancelled(database: Database, launch: Launch) -> bool:
    """Return whether a study is cancelled; one in the Trash is, unless all of its stages are done."""
    if launch.trashed_at is not None:
        return any(stage.state != "done" for stage in launch.stages.values())
    return studies.study(database, launch.study_id).state == "cancelled"


def _register(redis: Redis, database: Database, artifacts: Artifacts, launch: Launch, finished: set[str]) -> Rebuilt:
    """Queue a study that Redis does not know, with the states in the database and the artifacts."""
    cancelled = _is_cancelled(database, launch)
    _, damaged = _publish_missing(redis, database, artifacts, launch.stages.keys() & finished)
    states = resolved(launch, finished - damaged, cancelled)
    entries = [_adopted(recorded, fingerprint, *states[fingerprint]) for fingerprint, recorded in launch.stages.items()]
    ended_at = launch.cancelled_at or launch.trashed_at
    at = ended_at.isoformat() if cancelled and ended_at else None
    celery_app.send(leases.adopt(redis, launch.study_id, launch.body, at, entries))
    naming.recall(redis, launch.study_id, Description(*launch.described), _text(launch.trashed_at), is_known=False)
    counts = leases.counts(redis, launch.study_id)
    states_now = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return Rebuilt(launch.study_id, launch.body["name"], f"is in the queue again: {states_now}")


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _adopted(recorded: LaunchedStage, fingerprint: str, state: State, error: str) -> AdoptedStage:
    settled = state == recorded.state and state in ("done", "failed", "cancelled")
    return AdoptedStage(
        fingerprint=fingerprint,
        spec=recorded.stage.model_dump_json(),
        parent=recorded.stage.parent or "",
        state=state,
        attempt=max(1, recorded.attempt) if state == "done" else recorded.attempt + ATTEMPTS_BEYOND,
        error=error,
        recorded=settled and recorded.reported and error == recorded.error,
    )


def resolved(launch: Launch, finished: set[str], cancelled: bool) -> dict[str, tuple[State, str]]:
    """Return the state and error that each stage gets, by fingerprint, for a study that Redis does not know.

    A stage with a result in the artifacts is done. One that is done in the database alone is done too, unless another
    stage still needs its weights.
    """
    needed: set[str | None] = set()
    resolution: dict[str, tuple[State, str]] = {}
    # Children come first, since they decide whose weights are needed.
    for fingerprint, recorded in reversed(launch.stages.items()):
        state: State = "waiting"
        error = ""
        if fingerprint in finished or (recorded.state == "done" and fingerprint not in needed):
            state = "done"
        elif recorded.state == "failed":
            state, error = "failed", recorded.error
        elif cancelled:
            state = "cancelled"
        elif recorded.stage.fingerprint != fingerprint:
            state = "failed"
            error = "It is of another version of the engine, whose results would differ; launch the study again."
        else:
            needed |= {recorded.stage.parent, recorded.stage.root}
        resolution[fingerprint] = (state, error)
    return resolution


def _report(
    config: Settings, redis: Redis, database: Database, artifacts: Artifacts, study_id: str, finished: set[str]
) -> list[Rebuilt]:
    """Publish a study that Redis knows again, if the database lacks states, results or its cancellation."""
    body = leases.launched(redis, study_id)
    if body is None:
        return []
    fingerprints = [str(stage["fingerprint"]) for stage in body["stages"]]
    before = leases.states(redis, fingerprints)
    require_recorded(config, redis)
    launched = launches.read(database, study_id) if study_id in launches.study_ids(database) else None
    recorded = {fingerprint: stage.state for fingerprint, stage in launched.stages.items()} if launched else {}
    after = leases.states(redis, fingerprints)
    # A state that has just changed reaches the database by itself, unless the study has to get there first.
    behind = {
        fingerprint
        for fingerprint, state in after.items()
        if recorded.get(fingerprint) != state and (launched is None or before.get(fingerprint) == state)
    }
    cancelled = leases.is_cancelled(redis, study_id)
    lost_end = cancelled and launched is not None and launched.cancelled_at is None
    results, _ = _publish_missing(
        redis, database, artifacts, finished & {key for key, state in after.items() if state == "done"}
    )
    described, trashed = naming.description(redis, study_id), naming.trashed_at(redis, study_id)
    recorded_so = (Description(*launched.described), _text(launched.trashed_at)) if launched else (Description(), None)
    renamed = (described, trashed) != recorded_so
    if not (behind or lost_end or results or renamed):
        return []
    entries = [
        AdoptedStage(fingerprint, stage.model_dump_json(), stage.parent or "", "waiting", 1, "", recorded=False)
        for fingerprint, stage in launched_stages(body).items()
    ]
    at = leases.now(redis) if cancelled else None
    celery_app.send(leases.adopt(redis, study_id, body, at, entries))
    if renamed:
        naming.recall(redis, study_id, *recorded_so, is_known=True)
    what = f"is reported to the database again: {len(behind)} states, {results} results"
    return [Rebuilt(study_id, str(body["name"]), what)]


def _publish_missing(
    redis: Redis, database: Database, artifacts: Artifacts, fingerprints: set[str]
) -> tuple[int, set[str]]:
    """Publish results that the database lacks, and return their number and the stages whose results are damaged."""
    missing = fingerprints - results.recorded(database)
    damaged = publish_results(redis, artifacts, missing)
    return len(missing) - len(damaged), damaged
