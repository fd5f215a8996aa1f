"""The study in a bundle: its settings, stages and results, each checked before anything is made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from data.artifacts import result_schema
from data.artifacts.checksums import Damaged, open_values
from data.artifacts.result_schema import explained
from data.bundles.archive import Archive, parsed
from data.bundles.format import LAUNCH, STUDY, WEIGHTS, BundleError, Progress, kind_of, silent
from data.bundles.known import unknown_names
from data.bundles.sound import require_sound
from data.database.events import Event, EventError, parse
from engine.study import toml_limits
from engine.study.fields import UNSEEN
from engine.study.plan import Role, Stage
from engine.study.results import Origin, StageResult
from engine.study.spec import TRAININGS_ALLOWED, Study, StudyError, read_study, to_toml

if TYPE_CHECKING:
    from torch import Tensor

# A stage's settings take some 700 characters.
LONGEST_STAGE = 20_000
# One training may stand for several points of the charts.
MOST_ROLES = 5 * TRAININGS_ALLOWED
LONGEST_IDENTITY = 200


@dataclass(frozen=True)
class Bundle:
    """A bundle whose study and stages are sound; results and weights are checked as they are read.

    body: of the event that launches the study. stages: by fingerprint, parents first. finished: the fingerprints with
    results. weights: the names of the weights of each stage that has some. Raises BundleError.
    """

    archive: Archive
    study: Study
    body: dict[str, Any]
    stages: dict[str, Stage]
    finished: tuple[str, ...]
    weights: dict[str, tuple[str, ...]]

    @property
    def study_id(self) -> str:
        """The id of the study where it was exported."""
        return str(self.body["study_id"])

    @property
    def lab(self) -> str:
        """What the exporter calls the place of the trainings, "" without a name."""
        return self.archive.manifest.lab

    def result(self, fingerprint: str) -> StageResult:
        """Return a checked result, with an origin that lacks the time of the import."""
        member = f"results/{fingerprint}.json"
        content = self.archive.read(member)
        try:
            values = open_values(content)
            result_schema.check(values)
            result = StageResult.from_json(values)
            require_sound(self.stages[fingerprint], fingerprint, result)
            # What the database would refuse must not reach the queue.
            parse(Event("0-0", "result", {"fingerprint": fingerprint, "result": values}))
        except (Damaged, EventError, ValueError, KeyError, TypeError) as error:
            raise self.archive.fault(member, str(error)[:400]) from error
        return replace(result, origin=replace(result.origin or Origin(self.lab), imported_at=None))

    def tensors(self, fingerprint: str, name: str) -> "dict[str, Tensor]":
        """Return the weights of a stage by a name of `weights`, on the CPU."""
        # This imports PyTorch, which a bundle without weights does not need.
        from data.bundles.tensors import opened

        member = f"weights/{fingerprint}/{name}.safetensors"
        try:
            return opened(self.archive.read(member), name)
        except (Damaged, ValueError) as error:
            raise self.archive.fault(member, str(error)[:400]) from error

    def check(self, progress: Progress = silent) -> None:
        """Read everything once, so that nothing is imported from a bundle of which a part is faulty."""
        for member in self.archive.members:
            if member.startswith("tables/"):
                # Tables are for people; numbers are imported from the results alone.
                for _ in self.archive.chunks(member):
                    pass
        for number, fingerprint in enumerate(self.finished):
            progress(number, len(self.finished))
            result = self.result(fingerprint)
            if fingerprint in self.weights:
                from data.bundles.tensors import require_fitting

                tensors = {name: self.tensors(fingerprint, name) for name in self.weights[fingerprint]}
                try:
                    require_fitting(self.stages[fingerprint], result, tensors)
                except ValueError as error:
                    raise self.archive.fault(f"weights/{fingerprint}", str(error)[:400]) from error


def read(file: IO[bytes], name: str) -> Bundle:
    """Return the bundle in a file, which stays open for as long as the bundle is read; BundleError if it is none.

    name: of the file, for messages. Results, tables and weights are checked by `Bundle.check`.
    """
    archive = Archive(file, name)
    study = _study(archive)
    values = parsed(archive, LAUNCH, archive.read(LAUNCH))
    try:
        stages = _stages(values, study, archive.manifest.engine)
        roles = _roles(values, study, stages)
        reused = _reused(values, stages)
    except ValidationError as error:
        raise archive.fault(LAUNCH, explained(error)[:400]) from error
    except KeyError as error:
        raise archive.fault(LAUNCH, f"{str(error)[:100]} is missing") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise archive.fault(LAUNCH, str(error)[:400]) from error
    body = {
        "study_id": archive.manifest.study_id,
        "name": study.name,
        "toml": to_toml(study),
        "at": values.get("at"),
        "stages": [{**stage.model_dump(mode="json"), "fingerprint": key} for key, stage in stages.items()],
        "roles": [vars(role) for role in roles],
        "reused": reused,
    }
    try:
        # What the database would refuse must not reach the queue.
        parse(Event("0-0", "launched", body))
    except EventError as error:
        raise archive.fault(LAUNCH, str(error)[:400]) from error
    finished, weights = _members(archive, stages)
    return Bundle(archive, study, body, stages, finished, weights)


def _study(archive: Archive) -> Study:
    try:
        text = toml_limits.decoded(archive.read(STUDY))
        values = toml_limits.read(text)
    except toml_limits.TomlError as error:
        raise archive.fault(STUDY, str(error)[:400]) from error
    if missing := unknown_names(values):
        raise BundleError(f"{archive.name} cannot be imported: {missing}")
    try:
        # An older Ticketscope may have launched it under other rules.
        study = read_study(text, recorded=True)
    except StudyError as error:
        raise archive.fault(STUDY, str(error)[:400]) from error
    for shown in (study.name, *study.datasets):
        if unseen := UNSEEN.search(shown):
            raise archive.fault(STUDY, f"{shown[:80]!a} contains the invisible character {unseen[0]!a}")
    return study


def _stages(values: Any, study: Study, engine: int) -> dict[str, Stage]:
    """Return the stages of a launch by fingerprint; ValueError and the like for any that the study cannot have."""
    entries = values["stages"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= TRAININGS_ALLOWED:
        raise ValueError(f"it lists no stages, or more than {TRAININGS_ALLOWED:,}")
    stages: dict[str, Stage] = {}
    for entry in entries:
        settings = dict(entry)
        fingerprint = str(settings.pop("fingerprint"))
        stage = Stage.model_validate(settings)
        try:
            _require_of_study(stage, study, stages)
        except ValueError as error:
            raise ValueError(f"stage {fingerprint[:40]!a}: {error}") from error
        if stage.fingerprint_by(engine) != fingerprint:
            raise ValueError(f"stage {fingerprint[:40]!a} has other settings than its fingerprint says")
        if fingerprint in stages:
            raise ValueError(f"stage {fingerprint} is listed twice")
        stages[fingerprint] = stage
    return stages


def _require_of_study(stage: Stage, study: Study, before: Mapping[str, Stage]) -> None:
    lists = {
        "network": (stage.network, study.networks),
        "learning rate": (stage.learning_rate, study.learning_rates),
        "seed": (stage.seed, study.seeds),
        "dataset": (stage.images.name, study.datasets),
    }
    for what, (value, allowed) in lists.items():
        if value not in allowed:
            raise ValueError(f"its {what} {str(value)[:80]!a} is none of the study's")
    text = stage.model_dump_json()
    if len(text) > LONGEST_STAGE or len(stage.images.identity) > LONGEST_IDENTITY or UNSEEN.search(text):
        raise ValueError("its settings are too long, or have characters that cannot be seen")
    if not all(0 < sparsity < 1 for sparsity in stage.rounds):
        raise ValueError("a sparsity is not between 0 and 1")
    if stage.kind == "pretrain":
        if stage.root is not None or stage.parent is not None or stage.rounds:
            raise ValueError("a pretraining has neither a parent nor a sparsity")
        return
    root, parent = before.get(stage.root or ""), before.get(stage.parent or "")
    if root is None or parent is None or root.kind != "pretrain":
        raise ValueError("its parent or its pretraining is not listed before it")
    if any(getattr(stage, name) != getattr(root, name) for name in ("network", "learning_rate", "seed", "images")):
        raise ValueError("its network, learning rate, seed or images are not those of its pretraining")
    if not stage.rounds or (stage.kind == "retrain") != (stage.start is not None):
        raise ValueError("it lacks a sparsity or a start, or has a start that its kind has not")
    if (stage.kind == "admm") != (stage.admm is not None):
        raise ValueError("it has settings of ADMM that its kind has not, or lacks them")


def _roles(values: Any, study: Study, stages: Mapping[str, Stage]) -> list[Role]:
    entries = values["roles"]
    if not isinstance(entries, list) or len(entries) > MOST_ROLES:
        raise ValueError(f"it lists no roles, or more than {MOST_ROLES:,}")
    names = {field.name for field in fields(Role)}
    roles = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() != names:
            raise ValueError(f"a role has other keys than {', '.join(sorted(names))}")
        stage = stages[entry["fingerprint"]]
        start = "dense" if stage.kind == "pretrain" else stage.start
        point = (stage.images.name, stage.network, stage.learning_rate, stage.seed, stage.sparsity, start)
        named = tuple(entry[name] for name in ("dataset", "network", "learning_rate", "seed", "sparsity", "start"))
        if point != named or stage.kind == "admm":
            raise ValueError(f"a role of stage {entry['fingerprint']} is another point than the stage")
        allowed = (None,) if stage.kind == "pretrain" else study.pruners
        if entry["pruner"] not in allowed:
            raise ValueError(f"the pruner {str(entry['pruner'])[:80]!a} of a role is none of the study's")
        roles.append(Role(**entry))
    return roles


def _reused(values: Any, stages: Mapping[str, Stage]) -> list[str]:
    reused = values.get("reused", [])
    if not isinstance(reused, list) or not set(reused) <= stages.keys():
        raise ValueError("a stage that was reused is none of the study's")
    return list(dict.fromkeys(reused))


def _members(archive: Archive, stages: Mapping[str, Stage]) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return the stages with results, parents first, and the names of the weights of each that has some."""
    finished: set[str] = set()
    weights: dict[str, set[str]] = {}
    for member in archive.members:
        found = kind_of(member)
        if found is None or "fingerprint" not in found[1].groupdict():
            continue
        kind, match = found
        if match["fingerprint"] not in stages:
            raise archive.fault(member, "it is of no stage of the study")
        if kind == "result":
            finished.add(match["fingerprint"])
        else:
            weights.setdefault(match["fingerprint"], set()).add(match["weights"])
    if lacking := weights.keys() - finished:
        raise archive.fault(f"weights/{min(lacking)}", "its stage has no result")
    named = {key: tuple(name for name in WEIGHTS if name in names) for key, names in weights.items()}
    return tuple(key for key in stages if key in finished), named
