"""Deleting a study: what no other study has is removed, what others share is kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

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
from tasks.studies.lock import turn
from tasks.studies.rebuild import caught_up, require_database
from tasks.units import plural, size

# Seconds to wait for the recorder; at worst, files of what it has not recorded by then are left for `reclaim`.
PATIENCE = 3.0


@dataclass(frozen=True)
class DeletionPreview:
    """What deleting a study would remove and keep.

    own, shared: stages that only it has, and stages that another study has too. running: those of its own that are in
    training now. files, size: number and bytes of the artifacts of its own stages. links, narrowed: links that show
    nothing else and end, and links that stay without it.
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
    alone = sum(len(shown) == 1 for shown in works["study_ids"])
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
    """Return what is deleted and what is kept, a sentence each."""
    files = f"{plural(preview.files, 'file')}, {size(preview.size)}"
    lines = [f"{plural(preview.own, 'stage')} that no other study has: deleted, with {files}."]
    if preview.running:
        lines.append(f"{plural(preview.running, 'stage')} of them in training: stopped.")
    if preview.shared:
        lines.append(f"{plural(preview.shared, 'stage')} that other studies have too: kept.")
    if preview.links:
        lines.append(f"{plural(preview.links, 'link')} to it alone: ended.")
    if preview.narrowed:
        lines.append(f"{plural(preview.narrowed, 'link')} to it and others: kept, without it.")
    return lines


def delete(config: Settings, study_id: str) -> int:
    """Delete a study with the stages that no other study has, and return the number of those stages.

    A worker that trains one of them stops training it. The recorder deletes the rows. Raises UnknownStudy,
    RebuildError, BrokerError, and ArtifactError where files could not be removed, which `reclaim` then finds.
    """
    require_database(config)
    database, redis = Database(config.database), client(config)
    with turn(config), errors_explained(config):
        # A study that was deleted a moment ago must not count as one that shares stages.
        caught_up(config, redis, PATIENCE)
        stages, _ = _stages(database, redis, study_id)
        forgotten = leases.forget(redis, study_id, datetime.now(UTC).isoformat(), stages)
        # A study that only the database knows may need what Redis has forgotten.
        gone = forgotten - launches.all_members(database, but=study_id)
        artifacts = Artifacts(config.artifacts)
        artifacts.remove(_files(artifacts, gone))
    return len(gone)


def find(config: Settings, prefix: str) -> str:
    """Return the id of the only recorded or queued study that begins with a prefix; else UnknownStudy."""
    require_database(config)
    with errors_explained(config):
        queued = leases.studies(client(config), prefix)
    ids = sorted({*queued, *(s for s in launches.study_ids(Database(config.database)) if s.startswith(prefix))})
    return only_match(prefix, ids, f"no study begins with {prefix!r}; python -m tasks status lists them")


def _stages(database: Database, redis: Redis, study_id: str) -> tuple[set[str], set[str]]:
    """Return a study's stages, and those of them that no other study has."""
    stages = {*launches.members(database, study_id), *leases.members(redis, study_id)}
    if not stages:
        raise UnknownStudy(f"no study {study_id!r}; python -m tasks status lists them")
    return stages, stages - launches.all_members(database, but=study_id) - leases.all_members(redis, but=study_id)


def _files(artifacts: Artifacts, fingerprints: Iterable[str]) -> list[StoredFile]:
    wanted = set(fingerprints)
    return [file for file in artifacts.all_files() if file.owner in wanted] if wanted else []
