"""Importing a bundle: its results go to the artifact store and the database, and its study to the queue, as done."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO

from redis import Redis

from data.artifacts.store import Artifacts, ResultDamaged
from data.bundles import contents, recorded
from data.bundles.contents import Bundle
from data.bundles.format import BundleError, Progress, silent
from data.bundles.known import unknown_datasets
from data.database.database import Database
from data.queries import launches
from data.queries.studies import InTrash
from data.settings import Settings
from engine.study.plan import ENGINE_VERSION, Stage, plan
from engine.study.results import StageResult
from engine.study.spec import StudyError, read_study, to_toml
from tasks.broker.connection import client, errors_explained
from tasks.bundles.comparing import Difference, difference
from tasks.queue import celery_app, leases, naming, telemetry
from tasks.queue.imports import ImportedStage, bring
from tasks.studies.lock import study_lock
from tasks.studies.rebuild import RECORDER_SECONDS, RebuildError, caught_up, require_database, require_recorded

# Redis holds results until they are recorded, so that they are published in batches of about this many rows.
BATCH_ROWS = 100_000
# Why a stage of another engine cannot be trained here; also of those that `rebuild` finds.
OTHER_ENGINE = "It is of another version of the engine, whose results would differ; launch the study again."


@dataclass(frozen=True)
class Imported:
    """What an import did.

    study_id: here, which differs from `bundle_id` if the study of that id was deleted here. is_new: whether the study
    was not here before. stages, done: numbers of the study's stages, and of those with a result here. added: results
    that were not here before; with_weights: stages whose weights were added. other: results that were here with other
    numbers, which stay. running: results of stages that are being trained here, which are left out. engine: the version
    of another engine that made it, else None. reusable: results that a study of these settings would reuse here, None
    if that is not known. datasets: those of the study that are not known here. recorded: whether pages show it
    already.
    """

    study_id: str
    bundle_id: str
    name: str
    lab: str
    is_new: bool
    stages: int
    done: int
    added: int
    with_weights: int
    other: tuple[Difference, ...]
    running: int
    engine: int | None
    reusable: int | None
    datasets: tuple[str, ...]
    recorded: bool


def import_bundle(config: Settings, file: IO[bytes], name: str, progress: Progress = silent) -> Imported:
    """Import the study of a bundle with its results, and train nothing.

    file: open for reading. name: of the file, for messages. progress: called with the steps that are done, of which
    each result takes two, and the number of all. A faulty bundle changes nothing. Raises BundleError,
    InTrash, RebuildError, BrokerError, ArtifactError and DatabaseError.
    """
    bundle = contents.read(file, name)
    bundle.check(lambda done, total: progress(done, 2 * total))
    redis = client(config)
    database, artifacts = Database(config.database), Artifacts(config.artifacts)
    with errors_explained(config), study_lock(config):
        if config.redis_url is None:
            database.ensure()
        require_database(config)
        require_recorded(config, redis)
        return _import(config, bundle, database, artifacts, redis, progress)


def _import(
    config: Settings, bundle: Bundle, database: Database, artifacts: Artifacts, redis: Redis, progress: Progress
) -> Imported:
    study_id = _local_id(bundle.study_id, launches.deleted(database))
    is_new = _require_same_or_new(bundle, study_id, database, redis)
    states = leases.states(redis, list(bundle.finished))
    running = {key for key, state in states.items() if state == "running"}
    stored = artifacts.finished() & set(bundle.finished)
    known = recorded.accuracies(database, bundle.finished)
    at = leases.now(redis)
    other: list[Difference] = []
    added, with_weights, unpublished = 0, 0, 0
    for number, fingerprint in enumerate(bundle.finished):
        progress(len(bundle.finished) + number, 2 * len(bundle.finished))
        if fingerprint in running:
            continue
        result = bundle.result(fingerprint)
        here = _accuracies_here(artifacts, fingerprint, known, stored)
        if here is not None and (found := difference(bundle.stages[fingerprint], result, here)):
            other.append(found)
            continue
        with_weights += _save_weights(bundle, artifacts, fingerprint)
        result = _marked(result, at)
        if fingerprint not in stored:
            artifacts.finish(fingerprint, result)
        if fingerprint not in known:
            telemetry.publish(redis, [("result", {"fingerprint": fingerprint, "result": result.to_json()})])
            unpublished += len(result.epochs) + sum(len(overlap.counts) for overlap in result.overlaps)
            added += here is None
        if unpublished > BATCH_ROWS:
            require_recorded(config, redis)
            unpublished = 0
    finished = set(bundle.finished) - running
    if is_new or added or _behind(redis, finished):
        celery_app.send(bring(redis, study_id, {**bundle.body, "study_id": study_id}, at, _entries(bundle, finished)))
    engine = bundle.archive.manifest.engine
    return Imported(
        study_id=study_id,
        bundle_id=bundle.study_id,
        name=bundle.study.name,
        lab=bundle.lab,
        is_new=is_new,
        stages=len(bundle.stages),
        done=leases.counts(redis, study_id)["done"],
        added=added,
        with_weights=with_weights,
        other=tuple(other),
        running=len(running),
        engine=None if engine == ENGINE_VERSION else engine,
        reusable=_reusable(bundle),
        datasets=tuple(unknown_datasets(bundle.study.datasets)),
        recorded=caught_up(config, redis, RECORDER_SECONDS),
    )


def _reusable(bundle: Bundle) -> int | None:
    """Return how many results a study of these settings would reuse here, None if it could not be planned here."""
    identities = {stage.images.name: stage.images.identity for stage in bundle.stages.values()}
    try:
        # A study that was accepted elsewhere may be too large to be planned.
        study = read_study(to_toml(bundle.study))
        return len(plan(study, identities).stages.keys() & set(bundle.finished))
    except (StudyError, ValueError, KeyError):
        return None


def _local_id(study_id: str, deleted: set[str]) -> str:
    """Return the id of a study here: its own or, if that was deleted here, always the same other one."""
    local, number = study_id, 0
    while local in deleted:
        # The database ignores whatever comes of a deleted study.
        number += 1
        local = hashlib.blake2b(f"{study_id} {number}".encode(), digest_size=5).hexdigest()
    return local


def _require_same_or_new(bundle: Bundle, study_id: str, database: Database, redis: Redis) -> bool:
    """Return whether a study is new here; an error for one in the Trash, and for another one of the same id."""
    queued = leases.is_known(redis, study_id)
    members = set(leases.members(redis, study_id)) if queued else set(launches.members(database, study_id))
    if not members:
        return True
    if members != bundle.stages.keys():
        raise BundleError(
            f"{bundle.archive.name} cannot be imported: here, {study_id} is another study, with "
            f"{len(members ^ bundle.stages.keys()):,} other stages; delete it for good first if you do not need it"
        )
    if study_id in launches.trashed(database) or naming.trashed_at(redis, study_id) is not None:
        raise InTrash(study_id)
    if not queued:
        raise RebuildError(
            f"study {study_id} is recorded here, but the queue does not know it: ticketscope rebuild first"
        )
    return False


def _accuracies_here(
    artifacts: Artifacts, fingerprint: str, known: Mapping[str, Sequence[float]], stored: set[str]
) -> Sequence[float] | None:
    """Return the test accuracies that a stage has here, None without a result; a damaged one counts as none."""
    if fingerprint in known:
        return known[fingerprint]
    if fingerprint in stored:
        try:
            result = artifacts.result(fingerprint)
        except ResultDamaged:
            stored.discard(fingerprint)
            return None
        return None if result is None else [epoch.test_accuracy for epoch in result.epochs]
    return None


def _save_weights(bundle: Bundle, artifacts: Artifacts, fingerprint: str) -> bool:
    """Save those weights of a stage that are missing here, and return whether there were any."""
    missing = [name for name in bundle.weights.get(fingerprint, ()) if not artifacts.exists(fingerprint, name)]
    for name in missing:
        artifacts.save(fingerprint, name, bundle.tensors(fingerprint, name))
    return bool(missing)


def _marked(result: StageResult, at: str) -> StageResult:
    """Return a result with the time of its import in its origin."""
    return result if result.origin is None else replace(result, origin=replace(result.origin, imported_at=at))


def _behind(redis: Redis, finished: set[str]) -> bool:
    """Return whether the queue does not have all finished stages as done, as after an import that was killed."""
    return any(state != "done" for state in leases.states(redis, sorted(finished)).values())


def _entries(bundle: Bundle, finished: set[str]) -> list[ImportedStage]:
    return [_entry(fingerprint, stage, fingerprint in finished) for fingerprint, stage in bundle.stages.items()]


def _entry(fingerprint: str, stage: Stage, finished: bool) -> ImportedStage:
    error = "" if finished or stage.fingerprint == fingerprint else OTHER_ENGINE
    return ImportedStage(fingerprint, stage.model_dump_json(), stage.parent or "", finished, error)
