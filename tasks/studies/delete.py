"""Giving a study up: what only it has goes, what others have too stays."""

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
from tasks.cli.tables import size
from tasks.queue import leases
from tasks.studies.lock import turn
from tasks.studies.rebuild import caught_up, require_database

# How long the recorder is waited for; what it has not heard of by then is left over for `reclaim` at worst.
PATIENCE = 3.0


@dataclass(frozen=True)
class Outline:
    """What deleting a study takes away and leaves.

    own, shared: stages that only it has, and that another study has too. running: of its own, those in training now.
    files, size: what the artifacts hold of its own stages, in files and bytes. links, narrowed: links that show nothing
    else and end, and those that go on without it.
    """

    study_id: str
    own: int
    shared: int
    running: int
    files: int
    size: int
    links: int
    narrowed: int


def outline(config: Settings, study_id: str) -> Outline:
    """Return what deleting a study would do; raises UnknownStudy, RebuildError, BrokerError and ArtifactError."""
    require_database(config)
    store, redis = Database(config.database), client(config, patience=0.0)
    with errors_explained(config):
        caught_up(config, redis, PATIENCE)
        stages, own = _stages(store, redis, study_id)
        running = sum(state == "running" for state in leases.states(redis, sorted(own)).values())
    files = _files(Artifacts(config.artifacts), own)
    listed = shared_links.shares(store, study_id)
    works = listed[listed["works"]]
    alone = sum(len(shown) == 1 for shown in works["study_ids"])
    return Outline(
        study_id,
        own=len(own),
        shared=len(stages - own),
        running=running,
        files=len(files),
        size=sum(file.size for file in files),
        links=alone,
        narrowed=len(works) - alone,
    )


def told(about: Outline) -> list[str]:
    """Return in sentences what goes and what stays."""
    lines = [f"{_stages_of(about.own)} that no other study has: gone, with {about.files} files, {size(about.size)}."]
    if about.running:
        lines.append(f"{_stages_of(about.running)} of them in training: stopped.")
    if about.shared:
        lines.append(f"{_stages_of(about.shared)} that other studies have too: kept.")
    if about.links:
        lines.append(f"{about.links} {'link' if about.links == 1 else 'links'} to it alone: ended.")
    if about.narrowed:
        lines.append(
            f"{about.narrowed} {'link' if about.narrowed == 1 else 'links'} to it and others: go on without it."
        )
    return lines


def _stages_of(count: int) -> str:
    return f"{count} stage{'' if count == 1 else 's'}"


def delete(config: Settings, study_id: str) -> int:
    """Delete a study with the stages that no other study has, and return how many those were.

    A worker that trains one of them leaves it. The recorder takes out the rows. Raises UnknownStudy, RebuildError,
    BrokerError, and ArtifactError where files could not be removed, which `reclaim` then finds.
    """
    require_database(config)
    store, redis = Database(config.database), client(config)
    with turn(config), errors_explained(config):
        # One that was deleted a moment ago must not count as one that has the same stages.
        caught_up(config, redis, PATIENCE)
        stages, _ = _stages(store, redis, study_id)
        forgotten = leases.forget(redis, study_id, datetime.now(UTC).isoformat(), stages)
        # A study that only the database knows may need what Redis has forgotten.
        gone = forgotten - launches.all_members(store, but=study_id)
        artifacts = Artifacts(config.artifacts)
        artifacts.remove(_files(artifacts, gone))
    return len(gone)


def find(config: Settings, prefix: str) -> str:
    """Return the id of the only study, recorded or queued, that begins so; UnknownStudy where it is not one."""
    require_database(config)
    with errors_explained(config):
        queued = leases.studies(client(config), prefix)
    found = sorted({*queued, *(s for s in launches.study_ids(Database(config.database)) if s.startswith(prefix))})
    if len(found) == 1 or prefix in found:
        return prefix if prefix in found else found[0]
    if found:
        raise UnknownStudy(f"{len(found)} studies begin with {prefix!r}: {', '.join(found[:10])}; give more of the id")
    raise UnknownStudy(f"no study begins with {prefix!r}; python -m tasks status lists them")


def _stages(store: Database, redis: Redis, study_id: str) -> tuple[set[str], set[str]]:
    """Return a study's stages, and those of them that no other study has."""
    stages = {*launches.members(store, study_id), *leases.members(redis, study_id)}
    if not stages:
        raise UnknownStudy(f"no study {study_id!r}; python -m tasks status lists them")
    return stages, stages - launches.all_members(store, but=study_id) - leases.all_members(redis, but=study_id)


def _files(artifacts: Artifacts, fingerprints: Iterable[str]) -> list[StoredFile]:
    wanted = set(fingerprints)
    return [file for file in artifacts.all_files() if file.owner in wanted] if wanted else []
