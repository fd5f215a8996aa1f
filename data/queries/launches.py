"""Launched studies: the event that launched each, rebuilt from rows, and the state of its stages."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from data.database import deletion
from data.database.database import Database
from data.queries.studies import UnknownStudy
from engine.study.plan import Role, Stage

# The tables whose rows have the revision of an event.
_ORDERED = ("states", "launches", "cancellations", "descriptions", "trash")


@dataclass(frozen=True)
class LaunchedStage:
    """A stage and its state; attempt: 0 before the first; reported: whether an event of the stage was recorded."""

    stage: Stage
    state: str
    attempt: int
    error: str
    reported: bool


@dataclass(frozen=True)
class Launch:
    """A study, with the body of its launch event and its stages by fingerprint, parents first; times are UTC.

    described: its name, note and tags, as since changed by its owner; name and note are None where they were not.
    """

    study_id: str
    body: dict[str, Any]
    stages: dict[str, LaunchedStage]
    cancelled_at: datetime | None
    trashed_at: datetime | None
    described: tuple[str | None, str | None, tuple[str, ...]]


def study_ids(database: Database) -> list[str]:
    """Return the ids of all studies, also of those in the Trash, the one recorded first first."""
    with database.reading() as connection:
        rows = connection.execute("SELECT study_id FROM studies ORDER BY rowid").fetchall()
    return [str(row[0]) for row in rows]


def deleted(database: Database) -> set[str]:
    """Return the ids of all studies that were deleted."""
    with database.reading() as connection:
        return deletion.deleted(connection)


def newest_event(database: Database) -> str:
    """Return the id of the latest event that changed a stage's or a study's state, "0-0" without any."""
    tables = " UNION ALL ".join(f"SELECT revision FROM {name}" for name in _ORDERED)
    with database.reading() as connection:
        row = connection.execute(f"SELECT max(revision) FROM ({tables})").fetchone()
    parts = str(row[0] if row and row[0] else "0-0").split("-")
    return "-".join(str(int(part)) for part in parts)


def members(database: Database, study_id: str) -> list[str]:
    """Return the fingerprints of a study's stages, none for an unknown study."""
    return _fingerprints(database, "study_id = ?", study_id)


def all_members(database: Database, but: Collection[str] = ()) -> set[str]:
    """Return the fingerprints of the stages of all studies but some."""
    return set(_fingerprints(database, "study_id NOT IN (SELECT unnest(?::VARCHAR[]))", list(but)))


def trashed(database: Database) -> dict[str, datetime]:
    """Return when each study in the Trash was moved there, in UTC."""
    with database.reading() as connection:
        rows = connection.execute("SELECT study_id, trashed_at FROM named WHERE trashed_at IS NOT NULL").fetchall()
    return {str(study_id): at.replace(tzinfo=UTC) for study_id, at in rows}


def tomls(database: Database) -> list[tuple[str, str]]:
    """Return id and TOML of every launched study that is not in the Trash, the latest first."""
    with database.reading() as connection:
        rows = connection.execute("SELECT study_id, toml FROM listed ORDER BY place DESC").fetchall()
    return [(str(study_id), str(toml)) for study_id, toml in rows]


def all_datasets(database: Database) -> set[str]:
    """Return the identities of the images that the stages of all studies train on."""
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT DISTINCT identity FROM stages JOIN study_stages USING (fingerprint)"
        ).fetchall()
    return {str(row[0]) for row in rows}


def _fingerprints(database: Database, where: str, value: str | list[str]) -> list[str]:
    with database.reading() as connection:
        rows = connection.execute(f"SELECT DISTINCT fingerprint FROM study_stages WHERE {where}", [value]).fetchall()
    return [str(row[0]) for row in rows]


def read(database: Database, study_id: str) -> Launch:
    """Return a study as it was launched, and the state of its stages; UnknownStudy for an unknown id."""
    with database.reading() as connection:
        study = connection.execute(
            "SELECT study.name, toml, created_at, cancelled_at, trashed_at, description.name, description.note, "
            "coalesce(tags, []) FROM studies AS study LEFT JOIN cancellations USING (study_id) "
            "LEFT JOIN trash USING (study_id) LEFT JOIN descriptions AS description USING (study_id) "
            "WHERE study_id = ?",
            [study_id],
        ).fetchone()
        if study is None:
            raise UnknownStudy(f"no study {study_id!r}; ticketscope status lists them")
        parts = connection.execute(
            "SELECT fingerprint, dataset, reused, spec, state, attempt, error FROM study_stages "
            "JOIN stages USING (fingerprint) LEFT JOIN states USING (fingerprint) WHERE study_id = ? ORDER BY position",
            [study_id],
        ).fetchall()
        columns = ", ".join(Role.__dataclass_fields__)
        roles = connection.execute(
            f"SELECT {columns} FROM roles WHERE study_id = ? ORDER BY position", [study_id]
        ).fetchall()
    name, toml, created_at, *ends, new_name, new_note, tags = study
    cancelled_at, trashed_at = (None if at is None else at.replace(tzinfo=UTC) for at in ends)
    stages: dict[str, LaunchedStage] = {}
    for fingerprint, dataset, reused, spec, state, attempt, error in parts:
        values = json.loads(spec)
        # The saved stage has the first study's name of the images, and this study may have another.
        values["images"]["name"] = dataset
        state = state or ("done" if reused else "waiting")
        stages[str(fingerprint)] = LaunchedStage(
            Stage.model_validate(values), state, int(attempt or 0), error or "", attempt is not None
        )
    body = {
        "study_id": study_id,
        "name": name,
        "toml": toml,
        "at": created_at.replace(tzinfo=UTC).isoformat(),
        "stages": [
            {**launched.stage.model_dump(mode="json"), "fingerprint": fingerprint}
            for fingerprint, launched in stages.items()
        ],
        "roles": [dict(zip(Role.__dataclass_fields__, role, strict=True)) for role in roles],
        "reused": [str(part[0]) for part in parts if part[2]],
    }
    return Launch(study_id, body, stages, cancelled_at, trashed_at, (new_name, new_note, tuple(tags)))
