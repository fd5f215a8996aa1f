"""Queueing a study for the workers, cancelling it, and retrying its failed and cancelled stages."""

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from redis import Redis

from data.artifacts.store import Artifacts, ResultDamaged
from data.database.database import Database, DatabaseBusy
from data.datasets.check import check
from data.datasets.registry import DatasetError
from data.datasets.source import Progress, silent
from data.queries.results import recorded
from data.queries.studies import InTrash, UnknownStudy
from data.settings import Settings, settings
from engine.errors import UserError
from engine.study.plan import Stage
from engine.study.spec import Study, read_study, to_toml
from tasks.broker.connection import connect, errors_explained
from tasks.queue import celery_app, equal, leases, naming, telemetry
from tasks.queue.equal import Content
from tasks.studies import planning
from tasks.studies.lock import study_lock
from tasks.studies.planning import PATIENCE, PlanPreview, plan_study

log = logging.getLogger(__name__)


def launch(study: Study, progress: Progress = silent, again: bool = False) -> str:
    """Queue a study and return its id; raises BrokerError and ArtifactError, and what `plan_study` and `check` raise.

    progress: called while images are checked, and copied to the artifact store for other hosts, which may take minutes.
    Raises LaunchedBefore if an equal study was launched within `equal.WITHIN`, unless `again`.
    """
    planned = plan_study(study, settings().home)
    for name in planned.study.datasets:
        check(name, settings().home, progress)
    study_id = secrets.token_hex(5)
    body: dict[str, Any] = {
        "study_id": study_id,
        "name": study.name,
        "toml": to_toml(planned.study),
        "stages": [{**stage.model_dump(mode="json"), "fingerprint": key} for key, stage in planned.stages.items()],
        "roles": [asdict(role) for role in planned.roles],
    }
    stages = list(planned.stages.values())
    once = equal.content(body, again)
    with errors_explained():
        equal.refuse_before(connect(), once)
    # The lock is not held for this, since the upload may take long.
    _share_images(settings(), stages, progress)
    with study_lock(settings()), errors_explained():
        redis = connect()
        _register(redis, {**body, "at": leases.now(redis)}, stages, once)
    return study_id


class NothingToCancel(UserError):
    """A study is done."""


def cancel(study_id: str) -> int:
    """Cancel the unfinished stages of a study that no other live study needs, and return their number.

    A stage in training stops after its epoch. Raises UnknownStudy, InTrash, BrokerError, and NothingToCancel for a
    study that is done.
    """
    with errors_explained():
        redis = connect()
        _require_no_trash(redis, study_id)
        count = leases.cancel(redis, study_id, leases.now(redis))
    if count is None:
        raise UnknownStudy(_unknown(study_id))
    if count < 0:
        raise NothingToCancel(f"all stages of study {study_id} are done, so there is nothing to cancel")
    return count


def is_cancelled(study_id: str) -> bool:
    """Return whether a study was cancelled and not retried since; raises InTrash and BrokerError."""
    with errors_explained():
        redis = connect()
        _require_no_trash(redis, study_id)
        return leases.is_cancelled(redis, study_id)


def retry(study_id: str) -> None:
    """Queue a study's failed and cancelled stages again; raises UnknownStudy, InTrash, BrokerError, ArtifactError."""
    redis = connect()
    with errors_explained():
        body = leases.launched(redis, study_id)
        _require_no_trash(redis, study_id)
    if body is None:
        raise UnknownStudy(_unknown(study_id))
    stages = list(launched_stages(body).values())
    _share_images(settings(), stages, silent)
    with study_lock(settings()), errors_explained():
        # The study may have been deleted or moved to the Trash while this call waited for the lock.
        if leases.launched(redis, study_id) is None:
            raise UnknownStudy(_unknown(study_id))
        _require_no_trash(redis, study_id)
        _register(redis, body, stages)


def long_retry(study_id: str) -> PlanPreview | None:
    """Return what `retry` would train if that takes longer than `planning.LONG`, else None.

    Raises UnknownStudy, InTrash and BrokerError.
    """
    redis = connect()
    with errors_explained():
        _require_no_trash(redis, study_id)
        body = leases.launched(redis, study_id)
        if body is None:
            raise UnknownStudy(_unknown(study_id))
        stages = launched_stages(body)
        states = leases.states(redis, list(stages))
    again: set[str] = set()
    for fingerprint, stage in stages.items():
        state = states.get(fingerprint)
        if state in (None, "failed", "cancelled") or (state == "waiting" and again & {stage.parent, stage.root}):
            again.add(fingerprint)
    try:
        return planning.long_retry(read_study(body["toml"], recorded=True), stages, again)
    except DatasetError:
        # Of images that this machine does not have, nothing is known; a worker may have them.
        return None


def _require_no_trash(redis: Redis, study_id: str) -> None:
    if naming.trashed_at(redis, study_id) is not None:
        raise InTrash(study_id)


def launched_stages(body: Mapping[str, Any]) -> dict[str, Stage]:
    """Return the stages in the body of a launched event, by the fingerprints under which they were launched."""
    entries = [dict(entry) for entry in body["stages"]]
    return {str(entry.pop("fingerprint")): Stage.model_validate(entry) for entry in entries}


def find(prefix: str) -> str:
    """Return the id of the only study in Redis whose id begins with a prefix; else UnknownStudy."""
    with errors_explained():
        ids = leases.studies(connect(), prefix)
    return only_match(prefix, ids, _unknown(prefix))


def only_match(prefix: str, ids: Sequence[str], unknown: str) -> str:
    """Return the id that equals a prefix, or the only one of ids, which all begin with it; else UnknownStudy.

    unknown: the message if ids is empty.
    """
    if prefix in ids:
        return prefix
    if not ids:
        raise UnknownStudy(unknown)
    if len(ids) > 1:
        raise UnknownStudy(f"{len(ids)} studies begin with {prefix!r}: {', '.join(ids[:10])}; give more of the id")
    return ids[0]


def _register(redis: Redis, body: dict[str, Any], stages: Sequence[Stage], once: Content | None = None) -> None:
    config = settings()
    fingerprints = [stage.fingerprint for stage in stages]
    # States are read before results, since a stage becomes done in Redis only after its result is saved.
    states = leases.states(redis, fingerprints)
    artifacts = Artifacts(config.artifacts)
    finished = artifacts.finished() & set(fingerprints)
    known = _recorded(config) if finished else set()
    finished -= publish_results(redis, artifacts, finished - known)
    lost = {fingerprint for fingerprint, state in states.items() if state == "done"} - finished
    body = {**body, "reused": body.get("reused", sorted(finished))}
    celery_app.send(leases.register(redis, body["study_id"], body, stages, finished, lost, once))


def _recorded(config: Settings) -> set[str]:
    """Return the stages whose results the database has; none while others use it, since results may be sent twice."""
    try:
        return recorded(Database(config.database, PATIENCE)) if config.database.exists() else set()
    except DatabaseBusy:
        return set()


def _share_images(config: Settings, stages: Sequence[Stage], progress: Progress) -> None:
    """Copy the images that unfinished stages train on to the artifact store, for workers on other hosts."""
    artifacts = Artifacts(config.artifacts)
    finished = artifacts.finished()
    if artifacts.is_folder:
        # Workers of a store in a folder run on this machine, or where its folders are mounted.
        return
    # Reading images imports PyTorch, which takes seconds.
    from data.datasets.loading import share

    # Stages with other limits on the number of images share the same dataset, which is copied once.
    for images in {s.images.identity: s.images for s in stages if s.fingerprint not in finished}.values():
        try:
            share(images, config.home, artifacts, progress)
        except DatasetError as error:
            # Workers may have their own copy of the images; a stage fails with a reason on a worker that has none.
            log.warning("%s is not copied for other hosts: %s", images.name, error)


def publish_results(redis: Redis, artifacts: Artifacts, fingerprints: Iterable[str]) -> set[str]:
    """Publish saved results that the recorder may not know, such as those of a study trained without Redis.

    Returns the fingerprints of stages whose results cannot be read, which are to be trained again.
    """
    damaged = set()
    for fingerprint in sorted(fingerprints):
        try:
            result = artifacts.result(fingerprint)
        except ResultDamaged as error:
            log.warning("a stage is trained again: %s", error)
            damaged.add(fingerprint)
            continue
        if result is not None:
            telemetry.publish(redis, [("result", {"fingerprint": fingerprint, "result": result.to_json()})])
    return damaged


def _unknown(study_id: str) -> str:
    return (
        f"the queue knows no study {study_id!r}; ticketscope status lists studies, "
        "and launching one again reuses what is done"
    )
