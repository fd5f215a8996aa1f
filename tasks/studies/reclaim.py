"""Finding and removing artifacts that no study needs."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from redis import Redis

from data.artifacts.store import Artifacts, StoredFile
from data.database.database import Database
from data.queries import launches
from data.settings import Settings
from tasks.broker.connection import client, errors_explained
from tasks.queue import leases
from tasks.studies.lock import study_lock
from tasks.studies.rebuild import RebuildError, require_database

# Files that changed within this time are spared, since they may belong to a worker of another installation.
GRACE_SECONDS = 3600.0

KINDS = ("results", "weights", "checkpoints", "checkpoints of finished stages", "half-written content", "datasets")


@dataclass(frozen=True)
class Waste:
    """Files that no study needs, by one of KINDS; young: bytes of such files that are too new to be removed."""

    files: dict[str, list[StoredFile]]
    young: int

    @property
    def all(self) -> list[StoredFile]:
        """All of the files."""
        return [file for kind in KINDS for file in self.files[kind]]


def find_waste(config: Settings, older: float = GRACE_SECONDS) -> Waste:
    """Return the files of stages and datasets that no study in the database or Redis has, and leftovers of others.

    older: files that changed within this number of seconds are spared. Raises RebuildError if no study is known at all,
    BrokerError and ArtifactError.
    """
    require_database(config)
    with errors_explained(config):
        # Files are listed before studies, so that a study that is launched in between is known.
        files = Artifacts(config.artifacts).all_files()
        return _sorted(files, _known(config, client(config)), time.time() - older)


def reclaim(config: Settings, agreed: Waste, older: float = GRACE_SECONDS) -> list[StoredFile]:
    """Remove those of the agreed files that are still waste, and return them; raises what `find_waste` raises."""
    with study_lock(config):
        now = {file.path for file in find_waste(config, older).all}
        files = [file for file in agreed.all if file.path in now]
        Artifacts(config.artifacts).remove(files)
    return files


def _known(config: Settings, redis: Redis) -> set[str]:
    """Return the owners of needed files: the fingerprints of all stages, and the identities of their datasets."""
    database = Database(config.database)
    recorded = launches.all_members(database)
    queued = leases.all_members(redis) - recorded
    known = recorded | queued
    if not known:
        raise RebuildError(
            f"no study is known at {config.home}, so everything at {config.artifacts} would be removed; "
            "restore the database first, or set TICKETSCOPE_HOME to where it is"
        )
    return known | launches.all_datasets(database) | leases.datasets(redis, queued)


def _sorted(files: Sequence[StoredFile], known: set[str], before: float) -> Waste:
    by_owner: dict[str, list[StoredFile]] = defaultdict(list)
    for file in files:
        by_owner[file.owner].append(file)
    waste: dict[str, list[StoredFile]] = {kind: [] for kind in KINDS}
    young = 0
    for owner, own in by_owner.items():
        orphaned = owner not in known
        finished = any(file.kind == "result" for file in own)
        # A worker of another installation may train an unknown stage, so one young file spares all files of the stage.
        unchanged = max(file.modified for file in own) < before
        for file in own:
            kind = _kind(file, orphaned, finished)
            if kind is None:
                continue
            if unchanged if orphaned else file.modified < before:
                waste[kind].append(file)
            else:
                young += file.size
    return Waste(waste, young)


def _kind(file: StoredFile, orphaned: bool, finished: bool) -> str | None:
    if file.kind == "leftover":
        return "half-written content"
    if file.kind == "checkpoint" and finished:
        return "checkpoints of finished stages"
    kinds = {"result": "results", "weights": "weights", "checkpoint": "checkpoints", "dataset": "datasets"}
    return kinds[file.kind] if orphaned else None
