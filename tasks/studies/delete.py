"""Deleting studies: to the Trash, which can bring them back, and for good, with all that no other study has."""

import logging
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis import Redis

from data import shared_links
from data.artifacts.store import ArtifactError, Artifacts, StoredFile
from data.database.database import Database
from data.queries import launches
from data.queries.studies import InTrash, UnknownStudy
from data.settings import Settings
from engine.errors import UserError
from tasks.broker.connection import client, errors_explained
from tasks.queue import leases, naming
from tasks.studies.launch import only_match
from tasks.studies.lock import study_lock
from tasks.studies.rebuild import caught_up, require_database
from tasks.units import plural, size

# Seconds to wait for the recorder; files of stages that it has not recorded by then remain, and `reclaim` removes them.
PATIENCE = 3.0
# How long a study stays in the Trash.
PERIOD = timedelta(days=30)
# Seconds after the start of `keep_emptying`, and between two looks at the Trash.
FIRST, EVERY = 60.0, 3600.0

log = logging.getLogger(__name__)


class NotInTrash(UserError):
    """A study is not in the Trash, so that it cannot be brought back."""


@dataclass(frozen=True)
class DeletionPreview:
    """What deleting some studies would remove and keep.

    own, shared: numbers of stages that only these studies have, and that another study has too; those of studies in the
    Trash count. running: the own stages in training now. files, size: number and bytes of the artifacts of own stages,
    0 where they are not counted. links, narrowed: numbers of links that show only these studies, and that show others
    too.
    """

    study_ids: tuple[str, ...]
    own: int
    shared: int
    running: int
    files: int
    size: int
    links: int
    narrowed: int


def preview(config: Settings, study_ids: Sequence[str], count_files: bool = True) -> DeletionPreview:
    """Return what deleting some studies would remove and keep.

    count_files: list the artifact store too, which takes long where it is large. Raises UnknownStudy, RebuildError,
    BrokerError and ArtifactError.
    """
    require_database(config)
    database, redis = Database(config.database), client(config, patience=0.0)
    with errors_explained(config):
        caught_up(config, redis, PATIENCE)
        stages, own = _stages(database, redis, study_ids)
        running = sum(state == "running" for state in leases.states(redis, sorted(own)).values())
    files = _files(Artifacts(config.artifacts), own) if count_files else []
    listed = shared_links.shares(database)
    shown = [set(ids) for ids in listed[listed["works"] | listed["trashed"]]["study_ids"]]
    touched = [ids for ids in shown if ids & set(study_ids)]
    alone = sum(ids <= set(study_ids) for ids in touched)
    return DeletionPreview(
        tuple(study_ids),
        own=len(own),
        shared=len(stages - own),
        running=running,
        files=len(files),
        size=sum(file.size for file in files),
        links=alone,
        narrowed=len(touched) - alone,
    )


def sentences(preview: DeletionPreview, for_good: bool = True) -> list[str]:
    """Return sentences that say what becomes of stages and links; for_good: if the studies do not go to the Trash."""
    it, gone = ("it", "it is deleted") if len(preview.study_ids) == 1 else ("them", "they are deleted")
    stopped = f"{plural(preview.running, 'stage')} in training now that no other study needs will be stopped."
    if not for_good:
        lines = [
            f"The Trash can bring {it} back, with all results, for {PERIOD.days} days. Then {gone} for good.",
            f"Meanwhile lists, comparisons and the paper's figures leave {it} out.",
        ]
        lines += [stopped] * bool(preview.running)
        if preview.links + preview.narrowed:
            links = plural(preview.links + preview.narrowed, "link")
            lines.append(f"{links} will not show {it} meanwhile.")
        return lines
    files = f"{plural(preview.files, 'file')}, {size(preview.size)}"
    lines = [f"{plural(preview.own, 'stage')} that no other study has will be deleted, with {files}."]
    lines += [stopped] * bool(preview.running)
    if preview.shared:
        lines.append(f"{plural(preview.shared, 'stage')} that other studies have too will remain.")
    if preview.links:
        lines.append(f"{plural(preview.links, 'link')} to {it} alone will end.")
    if preview.narrowed:
        lines.append(f"{plural(preview.narrowed, 'link')} to {it} and others will remain, without {it}.")
    return lines


def require_no_trash(config: Settings, study_id: str) -> None:
    """Raise InTrash for a study in the Trash, also where only the database knows it."""
    if study_id in launches.trashed(Database(config.database)):
        raise InTrash(study_id)


def trash(config: Settings, study_id: str) -> int:
    """Move a study to the Trash, and return the number of its stages that were cancelled since no other needs them.

    Raises InTrash for one that is there, UnknownStudy for one that the queue does not know, RebuildError, BrokerError.
    """
    require_database(config)
    redis = client(config)
    with study_lock(config), errors_explained(config):
        cancelled = naming.trash(redis, study_id, leases.now(redis))
    if cancelled is None:
        raise UnknownStudy(f"the queue knows no study {study_id!r}; ticketscope rebuild brings lost ones back to it")
    if cancelled < 0:
        raise InTrash(study_id)
    return cancelled


def restore(config: Settings, study_id: str) -> None:
    """Bring a study back from the Trash; stages that were cancelled stay so until a retry.

    Raises NotInTrash, UnknownStudy for one that the queue does not know, BrokerError.
    """
    redis = client(config)
    with study_lock(config), errors_explained(config):
        was_there = naming.restore(redis, study_id)
    if was_there is None:
        raise UnknownStudy(f"the queue knows no study {study_id!r}; it may be deleted for good by now")
    if not was_there:
        raise NotInTrash(f"study {study_id} is not in the Trash")


def delete(config: Settings, study_id: str, if_trashed: bool = False) -> int:
    """Delete a study for good with the stages that no other study has, and return the number of these stages.

    Workers stop training such a stage. The recorder deletes the rows. if_trashed: raise NotInTrash if somebody has
    brought it back. Raises UnknownStudy, RebuildError, BrokerError, and ArtifactError for files that could not be
    removed, which `reclaim` removes later.
    """
    require_database(config)
    database, redis = Database(config.database), client(config)
    with study_lock(config), errors_explained(config):
        # A study that was deleted a moment ago must not count as one that shares stages.
        caught_up(config, redis, PATIENCE)
        stages, _ = _stages(database, redis, [study_id])
        if if_trashed and leases.is_known(redis, study_id) and naming.trashed_at(redis, study_id) is None:
            raise NotInTrash(f"study {study_id} was brought back from the Trash")
        shared_links.stop_showing(database, study_id)
        forgotten = leases.forget(redis, study_id, leases.now(redis), stages)
        # A study that only the database knows may have stages that Redis removed.
        removed = forgotten - launches.all_members(database, but=[study_id])
        artifacts = Artifacts(config.artifacts)
        artifacts.remove(_files(artifacts, removed))
    return len(removed)


def overdue(trashed_at: datetime, now: datetime) -> bool:
    """Return whether a study has been in the Trash for as long as it stays there."""
    return now - trashed_at > PERIOD


def empty(config: Settings) -> list[str]:
    """Delete the studies for good that have been in the Trash for longer than PERIOD, and return their ids."""
    if not config.database.exists():
        return []
    with errors_explained(config):
        # A single clock that jumps must not delete anything.
        now = min(datetime.now(UTC), datetime.fromisoformat(leases.now(client(config))))
    gone = []
    for study_id, trashed_at in launches.trashed(Database(config.database)).items():
        if overdue(trashed_at, now):
            try:
                delete(config, study_id, if_trashed=True)
            except (NotInTrash, UnknownStudy):
                continue
            except ArtifactError as error:
                # The study itself is deleted by now.
                log.warning("some files of study %s remain; remove them with ticketscope reclaim: %s", study_id, error)
            gone.append(study_id)
    return gone


def keep_emptying(config: Settings, stopping: threading.Event) -> None:
    """Call `empty` again and again until `stopping` is set."""
    pause = FIRST
    while not stopping.wait(pause):
        pause = EVERY
        try:
            for study_id in empty(config):
                log.info("deleted study %s for good, %d days after it was moved to the Trash", study_id, PERIOD.days)
        except UserError as error:
            log.warning("cannot empty the Trash, and will try again: %s", error)


def find(config: Settings, prefix: str) -> str:
    """Return the id of the only recorded or queued study whose id begins with a prefix; else UnknownStudy."""
    require_database(config)
    with errors_explained(config):
        queued = leases.studies(client(config), prefix)
    ids = sorted({*queued, *(s for s in launches.study_ids(Database(config.database)) if s.startswith(prefix))})
    return only_match(prefix, ids, f"no study begins with {prefix!r}; ticketscope status lists them")


def _stages(database: Database, redis: Redis, study_ids: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the stages of some studies, and those of them that no other study has."""
    stages: set[str] = set()
    for study_id in study_ids:
        members = {*launches.members(database, study_id), *leases.members(redis, study_id)}
        if not members:
            raise UnknownStudy(f"no study {study_id!r}; ticketscope status lists them")
        stages |= members
    return stages, stages - launches.all_members(database, study_ids) - leases.all_members(redis, study_ids)


def _files(artifacts: Artifacts, fingerprints: Iterable[str]) -> list[StoredFile]:
    owners = set(fingerprints)
    return [file for file in artifacts.all_files() if file.owner in owners] if owners else []
