"""Joining studies that differ in their seeds alone: one study with the seeds of all, and nothing is trained again."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from data.artifacts.store import Artifacts
from data.database.database import Database
from data.datasets.registry import with_datasets
from data.queries import launches
from data.queries.launches import Launch
from data.settings import Settings
from engine.errors import UserError
from engine.study.plan import Plan, plan
from engine.study.spec import SEEDS_IN_NAME, Study, parse_study, read_study, to_toml
from tasks.broker.connection import client, errors_explained
from tasks.queue import celery_app, leases
from tasks.queue.imports import ImportedStage, bring
from tasks.studies.launch import publish_results
from tasks.studies.lock import study_lock
from tasks.studies.rebuild import RECORDER_SECONDS, caught_up, require_database, require_recorded

# The most settings that an error lists, and the most characters of a value.
MOST_LISTED, LONGEST_VALUE = 6, 60


class JoinError(UserError):
    """Studies differ in more than their seeds, or a joined one would not be made of their results."""


@dataclass(frozen=True)
class Joined:
    """The study that joins some; is_new: whether this call made it. stages, done: numbers of its stages."""

    study_id: str
    name: str
    seeds: tuple[int, ...]
    is_new: bool
    stages: int
    done: int


@dataclass(frozen=True)
class _Part:
    """A study to join, its datasets named as in the first."""

    study_id: str
    study: Study
    launch: Launch


def join(config: Settings, study_ids: Sequence[str], name: str = "") -> Joined:
    """Make the study with the seeds of some studies, which are equal but for seeds, name and note; train nothing.

    name: of the new study; "" to make one of the first's. A recorded study that has these settings and seeds already is
    returned in place of a new one. If results are missing, the new study is cancelled, and a retry trains them. Raises
    JoinError, UnknownStudy, StudyError, RebuildError, BrokerError and ArtifactError.
    """
    ids = list(dict.fromkeys(study_ids))
    if len(ids) < 2:
        raise JoinError(f"a join takes two studies or more, given {len(ids)}")
    require_database(config)
    redis, database, artifacts = client(config), Database(config.database), Artifacts(config.artifacts)
    with errors_explained(config), study_lock(config):
        require_recorded(config, redis)
        parts = _parts(database, ids)
        study = _joined(parts, name)
        planned = plan(study, _identities(parts))
        _require_their_results(planned, parts)
        if (before := _launched_before(database, study, planned)) is not None:
            counts = leases.counts(redis, before)
            return Joined(before, study.name, study.seeds, False, counts.total(), counts["done"])
        finished = artifacts.finished() & planned.stages.keys()
        finished -= publish_results(redis, artifacts, finished)
        study_id = secrets.token_hex(5)
        at = leases.now(redis)
        celery_app.send(bring(redis, study_id, _body(study_id, planned, finished, at), at, _entries(planned, finished)))
        caught_up(config, redis, RECORDER_SECONDS)
        return Joined(study_id, study.name, study.seeds, True, len(planned.stages), len(finished))


def _parts(database: Database, ids: Sequence[str]) -> list[_Part]:
    read = [(study_id, launches.read(database, study_id)) for study_id in ids]
    parts: list[_Part] = []
    names: dict[str, str] = {}
    for study_id, launch in read:
        # Equal images may have other names in other labs, such as another path of their folder.
        own = {stage.stage.images.name: stage.stage.images.identity for stage in launch.stages.values()}
        for name, identity in own.items():
            names.setdefault(identity, name)
        recorded = read_study(launch.body["toml"], recorded=True)
        renamed = with_datasets(recorded, partial(_renamed, own, names))
        parts.append(_Part(study_id, renamed, launch))
    return parts


def _renamed(own: Mapping[str, str], names: Mapping[str, str], name: str) -> str:
    """Return what the first study with the same images calls a dataset; own: the identities of this study's."""
    return names.get(own.get(name, ""), name)


def _joined(parts: Sequence[_Part], name: str) -> Study:
    """Return the study with all seeds; JoinError with the settings that differ."""
    first = _settings(parts[0].study)
    for part in parts[1:]:
        other = _settings(part.study)
        differing = [key for key in first if first[key] != other[key]]
        if differing:
            shown = "; ".join(
                f"{key}: {_short(first[key])} and {_short(other[key])}" for key in differing[:MOST_LISTED]
            )
            more = f"; and {len(differing) - MOST_LISTED} more" if len(differing) > MOST_LISTED else ""
            raise JoinError(
                f"{parts[0].study_id} and {part.study_id} differ in more than their seeds, so their results do not "
                f"belong together ({shown}{more}); Compare shows them side by side"
            )
    seeds = tuple(sorted({seed for part in parts for seed in part.study.seeds}))
    values = parts[0].study.model_dump(exclude={"parts"})
    tables = []
    for number, table in enumerate(parts[0].study.parts):
        lists = dict(table.lists)
        if table.seeds is not None:
            lists["seeds"] = tuple(sorted({s for part in parts for s in part.study.parts[number].seeds or ()}))
        tables.append(lists)
    name = name or f"{SEEDS_IN_NAME.sub('', parts[0].study.name)[:80]} ({len(seeds)} seeds)"
    return parse_study({**values, "name": name, "seeds": seeds, "parts": tables})


def _settings(study: Study) -> dict[str, Any]:
    """Return all that two studies must have in common to be joined, by field; those of tables are `table.field`."""
    values = study.model_dump(mode="json", exclude={"name", "note", "seeds", "parts"})
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update({f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, Mapping) else {key: value})
    # Whether a part has seeds of its own counts, but not which.
    flat["parts"] = [
        {**{name: list(v) for name, v in part.lists.items()}, "seeds": part.seeds is not None} for part in study.parts
    ]
    # Lists are sets: their order changes no training.
    return {
        key: sorted(value, key=str) if isinstance(value, list) and key != "parts" else value
        for key, value in flat.items()
    }


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _identities(parts: Sequence[_Part]) -> dict[str, str]:
    identities: dict[str, str] = {}
    names: dict[str, str] = {}
    for part in parts:
        for launched in part.launch.stages.values():
            images = launched.stage.images
            name = names.setdefault(images.identity, images.name)
            if identities.setdefault(name, images.identity) != images.identity:
                raise JoinError(
                    f"{parts[0].study_id} and {part.study_id} were trained on different images under the name {name!r}"
                    ", so their results do not belong together"
                )
    return identities


def _require_their_results(planned: Plan, parts: Sequence[_Part]) -> None:
    """Raise JoinError if the joined study would not be made of the studies' own trainings."""
    own = {fingerprint for part in parts for fingerprint in part.launch.stages}
    if strange := len(planned.stages.keys() - own):
        raise JoinError(
            f"{strange:,} of {len(planned.stages):,} trainings of the joined study are none of these studies', since "
            "other versions of the engine, a network or a pruner made theirs; results of other code do not count here"
        )


def _launched_before(database: Database, study: Study, planned: Plan) -> str | None:
    """Return the id of a recorded study with these settings and all of these stages, the latest; None without one."""
    for study_id, toml in launches.tomls(database):
        other = read_study(toml, recorded=True)
        if set(other.seeds) == set(study.seeds) and set(launches.members(database, study_id)) == planned.stages.keys():
            return study_id
    return None


def _body(study_id: str, planned: Plan, finished: set[str], at: str) -> dict[str, Any]:
    return {
        "study_id": study_id,
        "name": planned.study.name,
        "toml": to_toml(planned.study),
        "at": at,
        "stages": [{**stage.model_dump(mode="json"), "fingerprint": key} for key, stage in planned.stages.items()],
        "roles": [asdict(role) for role in planned.roles],
        "reused": sorted(finished),
    }


def _entries(planned: Plan, finished: set[str]) -> list[ImportedStage]:
    return [
        ImportedStage(key, stage.model_dump_json(), stage.parent or "", key in finished, "")
        for key, stage in planned.stages.items()
    ]
