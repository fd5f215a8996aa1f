"""Sending a study off to the workers, calling it back, and trying again."""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from data.artifacts import Artifacts, ResultDamaged
from data.queries import UnknownStudy, recorded
from data.settings import Settings, settings
from data.store import Store
from engine.plan import Stage
from engine.spec import Study, to_toml
from tasks import leases, queue, telemetry
from tasks.broker import connect, errors_explained
from tasks.planning import Preview, plan_study, preview

log = logging.getLogger(__name__)

__all__ = ["Preview", "cancel", "find", "launch", "plan_study", "preview", "retry"]


def launch(study: Study) -> str:
    """Queue a study and return its id; raises BrokerError and ArtifactError, and what `plan_study` raises."""
    planned = plan_study(study, settings().home)
    study_id = secrets.token_hex(5)
    body: dict[str, Any] = {
        "study_id": study_id,
        "name": study.name,
        "toml": to_toml(planned.study),
        "at": _now(),
        "stages": [{**stage.model_dump(mode="json"), "fingerprint": key} for key, stage in planned.stages.items()],
        "roles": [asdict(role) for role in planned.roles],
    }
    with errors_explained():
        _register(connect(), body, list(planned.stages.values()))
    return study_id


def cancel(study_id: str) -> int:
    """Cancel a study and return how many stages that ends: all that are not done and no other live study needs.

    A stage in training ends after its epoch. Raises UnknownStudy and BrokerError.
    """
    with errors_explained():
        ended = leases.cancel(connect(), study_id, _now())
    if ended is None:
        raise UnknownStudy(_unknown(study_id))
    return ended


def retry(study_id: str) -> None:
    """Queue a study's failed and cancelled stages again; raises UnknownStudy, BrokerError and ArtifactError."""
    redis = connect()
    with errors_explained():
        body = leases.launched(redis, study_id)
        if body is None:
            raise UnknownStudy(_unknown(study_id))
        stages = [Stage.model_validate({k: v for k, v in s.items() if k != "fingerprint"}) for s in body["stages"]]
        _register(redis, body, stages)


def find(prefix: str) -> str:
    """Return the id of the only study in Redis that begins so; UnknownStudy where it is not one."""
    with errors_explained():
        found = leases.studies(connect(), prefix)
    if len(found) == 1 or prefix in found:
        return prefix if prefix in found else found[0]
    if found:
        raise UnknownStudy(f"{len(found)} studies begin with {prefix!r}: {', '.join(found[:10])}; give more of the id")
    raise UnknownStudy(_unknown(prefix))


def _register(redis: Redis, body: dict[str, Any], stages: Sequence[Stage]) -> None:
    config = settings()
    fingerprints = [stage.fingerprint for stage in stages]
    # In this order: a stage becomes done in Redis only after its result is kept.
    known = leases.states(redis, fingerprints)
    artifacts = Artifacts(config.artifacts)
    finished = artifacts.finished() & set(fingerprints)
    finished -= _publish_results(redis, config, artifacts, finished)
    lost = {fingerprint for fingerprint, state in known.items() if state == "done"} - finished
    body = {**body, "reused": body.get("reused", sorted(finished))}
    queue.send(leases.register(redis, body["study_id"], body, stages, finished, lost))


def _publish_results(redis: Redis, config: Settings, artifacts: Artifacts, finished: set[str]) -> set[str]:
    """Tell the recorder the results that it may never have heard of, as of a study trained without Redis.

    Returns the stages whose results do not read; they are trained again.
    """
    if not finished:
        return set()
    known = recorded(Store(config.database)) if config.database.exists() else set()
    damaged = set()
    for fingerprint in sorted(finished - known):
        try:
            result = artifacts.result(fingerprint)
        except ResultDamaged as error:
            log.warning("a stage is trained again: %s", error)
            damaged.add(fingerprint)
            continue
        if result is not None:
            telemetry.publish(redis, [("result", {"fingerprint": fingerprint, "result": result.to_json()})])
    return damaged


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _unknown(study_id: str) -> str:
    return (
        f"the queue knows no study {study_id!r}; python -m tasks status lists studies, "
        "and launching one again reuses what is done"
    )
