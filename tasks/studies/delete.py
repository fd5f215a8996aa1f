"""Deleting a study with all that no other study has."""

from collections.abc import Iterable
from dataclasses import dataclass

from redis import Redis

from data import shared_links
from data.artifacts.store import Artifacts, StoredFile
from data.database.database import Database
from data.queries import launches
from data.queries.studies import UnknownStudy
from data.settings import Settings
from tasks.broker.connection import client, errors_explained
from tasks.queue import leases
from tasks.studies.launch import only_match
from tasks.studies.lock import study_lock
from tasks.studies.rebuild import caught_up, require_database
from tasks.units import plural, size

# Seconds to wait for the recorder; files of stages that it has not recorded by then remain, and `reclaim` removes them.
PATIENCE = 3.0


@dataclass(frozen=True)
class DeletionPreview:
    """What deleting a study would remove and keep.

    own, shared: numbers of stages that only this study has, and that another study has too. running: the own stages in
    training now. files, size: number and bytes of the artifacts of own stages. links, narrowed: numbers of links that
    show only this study and end, and of links that show others too and remain.
    """

    study_id: str
    own: int
    shared: int
    running: int
    files: int
    size: int
    links: int
    narrowed: int


def preview(config: Settings, study_id: str) -> DeletionPreview:
    """Return what deleting a study would remove and keep.

    Raises UnknownStudy, RebuildError, BrokerError and ArtifactError.
    """
    require_database(config)
    database, redis = Database(config.database), client(config, patience=0.0)
    with errors_explained(config):
        caught_up(config, redis, PATIENCE)
        stages, own = _stages(database, redis, study_id)
        running = sum(state == "running" for state in leases.states(redis, sorted(own)).values())
    files = _files(Artifacts(config.artifacts), own)
    listed = shared_links.shares(database, study_id)
    works = listed[listed["works"]]
    alone = sum(len(study_ids) == 1 for study_ids in works["study_ids"])
    return DeletionPreview(
        study_id,
        own=len(own),
        shared=len(stages - own),
        running=running,
        files=len(files),
        size=sum(file.size for file in files),
        links=alone,
        narrowed=len(works) - alone,
    )


def sentences(preview: DeletionPreview) -> list[str]:
    """Return sentences that say what is deleted and what remains."""
    files = f"{plural(preview.files, 'file')}, {size(preview.size)}"
    lines = [f"{plural(preview.own, 'stage')} that no other study has will be deleted, with {files}."]
    if preview.running:
        lines.append(f"{plural(preview.running, 'stage')} of these, in training now, will be stopped.")
    if preview.shared:
        lines.append(f"{plural(preview.shared, 'stage')} that other studies have too will remain.")
    if preview.links:
        lines.append(f"{plural(preview.links, 'link')} to this study alone will end.")
    if preview.narrowed:
        lines.append(f"{plural(preview.narrowed, 'link')} to this study and others will remain, without this one.")
    return lines


def delete(config: Settings, study_id: str) -> int:
    """Delete a study with the stages that no other study has, and return the number of these stages.

    Workers stop training such a stage. The recorder deletes the rows. Raises UnknownStudy, RebuildError, BrokerError,
    and ArtifactError for files that could not be removed, which `reclaim` removes later.
    """
    require_database(config)
    database, redis = Database(config.database), client(config)
    with study_lock(config), errors_explained(config):
        # A study that was deleted a moment ago must not count as one that shares stages.
        caught_up(config, redis, PATIENCE)
        stages, _ = _stages(database, redis, study_id)
        shared_links.stop_showing(database, study_id)
        forgotten = leases.forget(redis, study_id, leases.now(redis), stages)
        # A study that only the database knows may have stages that Redis removed.
        removed = forgotten - launches.all_members(database, but=study_id)
        artifacts = Artifacts(config.artifacts)
        artifacts.remove(_files(artifacts, removed))
    return len(removed)


def find(config: Settings, prefix: str) -> str:
    """Return the id of the only recorded or queued study whose id begins with a prefix; else UnknownStudy."""
    require_database(config)
    with errors_explained(config):
        queued = leases.studies(client(config), prefix)
    ids = sorted({*queued, *(s for s in launches.study_ids(Database(config.database)) if s.startswith(prefix))})
    return only_match(prefix, ids, f"no study begins with {prefix!r}; ticketscope status lists them")


def _stages(database: Database, redis: Redis, study_id: str) -> tuple[set[str], set[str]]:
    """Return a study's stages, and those of them that no other study has."""
    stages = {*launches.members(database, study_id), *leases.members(redis, study_id)}
    if not stages:
        raise UnknownStudy(f"no study {study_id!r}; ticketscope status lists them")
    return stages, stages - launches.all_members(database, but=study_id) - leases.all_members(redis, but=study_id)


def _files(artifacts: Artifacts, fingerprints: Iterable[str]) -> list[StoredFile]:
    owners = set(fingerprints)
    return [file for file in artifacts.all_files() if file.owner in owners] if owners else []
