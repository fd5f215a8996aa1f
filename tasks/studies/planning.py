"""The plan of a study, checks of its design, and an estimate of its cost."""

from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from data.artifacts.store import Artifacts
from data.database.database import Database, DatabaseBusy
from data.datasets.check import checked_identity, is_checked
from data.datasets.registry import DatasetError, absolute, shape, with_datasets
from data.queries import results, specs
from data.settings import Settings, settings
from engine.dataset import Shape
from engine.study.checks import Finding, Findings, check
from engine.study.cost import STAGE_OVERHEAD, Speed, estimate_seconds, stage_seconds
from engine.study.layers import Anatomy
from engine.study.plan import Plan, Stage, plan
from engine.study.spec import Study, StudyError
from tasks.broker.connection import BrokerError, connect
from tasks.queue import telemetry
from tasks.studies.anatomy import CannotBeBuilt, anatomy, stage_space
from tasks.units import clock, duration, plural, size
from tasks.worker.devices import SLOW_BF16, DeviceError, devices, precision

# Seconds to wait for others that use the database, where its rows are of help but not needed.
PATIENCE = 2.0
# A study that takes more seconds than this is launched only after a question.
LONG = 3600.0


class DesignRefused(StudyError):
    """A study that must not be launched because of its design; warnings: what else its author should know."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(findings.errors)
        self.warnings = tuple(findings.warnings)


@dataclass(frozen=True)
class PlanPreview:
    """The plan of a study and its cost.

    trainings: the number of stages, since every stage trains a network. reused: stages that are done already. by_kind:
    stages of each kind. estimated_seconds: for the remaining trainings on `workers` workers. space: bytes of weights
    that these leave in the artifact store, None for a network whose layers are not known. warnings: what the author
    should know before launching the study. unchecked: some images are only read by the launch.
    """

    plan: Plan
    trainings: int
    reused: int
    by_kind: dict[str, int]
    estimated_seconds: float
    space: int | None
    workers: int
    warnings: tuple[Finding, ...]
    unchecked: bool

    @property
    def remaining(self) -> int:
        """The number of trainings that are not done yet."""
        return self.trainings - self.reused

    @property
    def is_long(self) -> bool:
        """Whether the study takes long enough to ask before it is launched."""
        return self.estimated_seconds > LONG

    def costs(self, zone: tzinfo | None = None) -> str:
        """Return a sentence on trainings, time, end and space of a launch; zone: of the reader, as in `units.clock`."""
        space = "" if self.space is None else f", and {size(self.space)} in the artifact store"
        return (
            f"{plural(self.remaining, 'training')}, about {duration(self.estimated_seconds)} on "
            f"{plural(self.workers, 'worker')}, done {clock(self.estimated_seconds, zone)}{space}."
        )


def number_of_test_images(study: Study, dataset: str) -> int | None:
    """Return how many images of a dataset a study tests on; None if the dataset is missing here."""
    try:
        return study.test_images or shape(dataset, settings().home).test
    except DatasetError:
        return None


def plan_study(study: Study, home: Path) -> Plan:
    """Return a study's plan, with absolute paths of folders and precision fp32 or bf16; home: `Settings.home`.

    Raises DatasetError for an unknown or missing dataset, and DesignRefused with every error of the design.
    """
    return _checked_plan(study, home)[0]


def _checked_plan(study: Study, home: Path) -> tuple[Plan, tuple[Finding, ...]]:
    # Workers run in other folders and on other hosts, so the plan depends on neither.
    study = _with_precision(with_datasets(study, absolute))
    identities = {name: checked_identity(name, home) for name in study.datasets}
    warnings = design_warnings(study, home)
    return plan(study, identities), warnings


def design_warnings(study: Study, home: Path) -> tuple[Finding, ...]:
    """Return what the author of a study should know before it is launched.

    Raises DesignRefused for a study that cannot be launched, DatasetError for an unknown or missing dataset.
    """
    findings = _design(study, home)
    if findings.errors:
        raise DesignRefused(findings)
    return tuple(findings.warnings)


def _design(study: Study, home: Path) -> Findings:
    shapes = {name: shape(name, home) for name in study.datasets}
    unbuilt: dict[str, str] = {}

    def layers_of(network: str, dataset: str) -> Anatomy | None:
        try:
            return anatomy(network, shapes[dataset], home)
        except CannotBeBuilt as error:
            size = shapes[dataset].image_size
            unbuilt[network] = (
                f"{network} cannot be built for {dataset}, {size} x {size} pixels: {error}; choose another network, or "
                "images of another size"
            )
            return None

    findings = check(study, shapes, layers_of)
    findings.refuse(("networks", text) for text in unbuilt.values())
    findings.warn(_slow_precision(study))
    return findings


def _with_precision(study: Study) -> Study:
    """Return a study whose precision, if it is auto, is replaced by the fastest one on this machine's devices."""
    if study.recipe.precision != "auto":
        return study
    return study.model_copy(update={"recipe": study.recipe.model_copy(update={"precision": _fastest_precision()})})


def _fastest_precision() -> str:
    config = settings()
    return precision(set(devices(config.device, config.workers)))


def _slow_precision(study: Study) -> Iterator[tuple[str, str]]:
    """Yield the warning of a study in bf16 where the hardware does not compute in it."""
    with suppress(DeviceError):
        if study.recipe.precision == "bf16" and _fastest_precision() == "fp32":
            yield "recipe.precision", SLOW_BF16


def preview(study: Study) -> PlanPreview:
    """Return what a study would cost on the present workers; works without Redis.

    Raises ArtifactError, and what `plan_study` raises.
    """
    config = settings()
    planned, warnings = _checked_plan(study, config.home)
    return _preview(planned, Artifacts(config.artifacts).finished() & planned.stages.keys(), warnings)


def _preview(planned: Plan, done: Collection[str], warnings: tuple[Finding, ...]) -> PlanPreview:
    config = settings()
    devices = worker_devices(config)
    images = {(stage.images.name, stage.images.identity) for stage in planned.stages.values()}
    return PlanPreview(
        plan=planned,
        trainings=len(planned.stages),
        reused=len(done),
        by_kind=dict(Counter(stage.kind for stage in planned.stages.values())),
        estimated_seconds=estimated_seconds(config, planned, done, devices),
        space=_space(planned, done, config.home),
        workers=len(devices),
        warnings=warnings,
        unchecked=any(not is_checked(name, content, config.home) for name, content in images),
    )


def _space(plan: Plan, reused: Container[str], home: Path) -> int | None:
    """Return the bytes of weights that the stages of a plan leave in the artifact store, None if they are not known."""
    total = 0
    for fingerprint, stage in plan.stages.items():
        if fingerprint not in reused:
            layers = anatomy(stage.network, shape(stage.images.name, home), home)
            if layers is None:
                return None
            total += stage_space(stage, layers)
    return total


def long_preview(study: Study) -> PlanPreview | None:
    """Return what `preview` returns if the study takes longer than `LONG`, else None."""
    config = settings()
    planned, warnings = _checked_plan(study, config.home)
    return _if_long(planned, Artifacts(config.artifacts).finished() & planned.stages.keys(), warnings)


def long_retry(study: Study, stages: Mapping[str, Stage], again: Collection[str]) -> PlanPreview | None:
    """Return what it costs to train some stages of a launched study if that takes longer than `LONG`, else None.

    stages: of the study, parents first. again: the fingerprints of those to train. DatasetError for a missing dataset.
    """
    return _if_long(Plan(study, dict(stages), ()), stages.keys() - set(again), ())


def _if_long(planned: Plan, done: Collection[str], warnings: tuple[Finding, ...]) -> PlanPreview | None:
    """Return the preview of a plan that takes longer than `LONG`."""
    outline = _preview(planned, done, warnings)
    return outline if outline.is_long else None


def worker_devices(config: Settings) -> list[str]:
    """Return the devices of the live workers, or without any those of the workers that this machine would start."""
    try:
        live = [worker.device for worker in telemetry.workers(connect(0.0))]
    except BrokerError:
        live = []
    return live or devices(config.device, config.workers)


def estimated_seconds(config: Settings, plan: Plan, reused: Container[str], devices: Sequence[str]) -> float:
    """Return the seconds that a plan takes with one worker per device; reused: stages that are done already.

    Raises DatasetError for a missing dataset.
    """
    shapes, speeds, kind = _measured(config, plan, devices)
    return estimate_seconds(plan, reused, shapes, speeds, len(devices), kind, _flops)


def seconds_of_stages(config: Settings, plan: Plan, devices: Sequence[str]) -> dict[str, float]:
    """Return the estimated seconds of each stage of a plan, by its fingerprint; DatasetError for a missing dataset."""
    shapes, speeds, kind = _measured(config, plan, devices)
    return {
        fingerprint: stage_seconds(stage, shapes[stage.images.name], speeds, kind, _flops)
        for fingerprint, stage in plan.stages.items()
    }


def _measured(config: Settings, plan: Plan, devices: Sequence[str]) -> tuple[dict[str, Shape], dict[Speed, float], str]:
    """Return the shapes of a plan's datasets by name, the measured speeds on them, and the kind of some devices."""
    names = {stage.images.name: stage.images.identity for stage in plan.stages.values()}
    shapes, kind = {name: shape(name, config.home) for name in names}, _kind(devices)
    return shapes, _speeds(config, {identity: shapes[name] for name, identity in names.items()}, kind), kind


def epoch_seconds(config: Settings, database: Database, study_id: str) -> dict[tuple[str, str, str], float]:
    """Return the estimated seconds per epoch of a recorded study by network, dataset and kind, on the present workers.

    A dataset that is missing here is left out. Raises UnknownStudy.
    """
    stages, kind = specs.one_of_each(database, study_id), _kind(worker_devices(config))
    shapes: dict[str, Shape] = {}
    for _, name, _ in stages:
        with suppress(DatasetError):
            shapes[name] = shape(name, config.home)
    identities = {stage.images.identity: shapes[key[1]] for key, stage in stages.items() if key[1] in shapes}
    speeds = _speeds(config, identities, kind)
    return {
        key: (stage_seconds(stage, shapes[key[1]], speeds, kind, _flops) - STAGE_OVERHEAD) / stage.epochs
        for key, stage in stages.items()
        if key[1] in shapes
    }


def _kind(devices: Sequence[str]) -> str:
    return "cuda" if any(device.startswith("cuda") for device in devices) else "cpu"


def _flops(network: str, channels: int, image_size: int, classes: int) -> float:
    """Return the operations of one image's forward pass; 0 where they cannot be determined, as if they took no time."""
    layers = anatomy(network, Shape(channels, image_size, classes, 0, 0), settings().home)
    return 0.0 if layers is None else layers.flops


def _speeds(config: Settings, shapes: dict[str, Shape], kind: str) -> dict[Speed, float]:
    """Return measured seconds per epoch on devices of a kind; shapes: those of the datasets, by identity."""
    if not config.database.exists():
        return {}
    try:
        measured = results.speeds(Database(config.database, PATIENCE))
    except DatabaseBusy:
        # An estimate is not worth a longer wait.
        return {}
    sums: dict[Speed, tuple[float, int]] = {}
    for row in measured.to_dict("records"):
        dataset = shapes.get(row["identity"])
        # Results name a GPU by its model, and a CPU as "cpu".
        if dataset is None or (row["device"] == "cpu") != (kind == "cpu"):
            continue
        limit = row["train_images"]
        # A missing limit is None or NaN.
        train = dataset.train if limit != limit or limit is None else int(limit)
        key = Speed(row["network"], dataset.image_size, train, int(row["batch_size"]), row["precision"])
        seconds, epochs = sums.get(key, (0.0, 0))
        sums[key] = (seconds + row["seconds_per_epoch"] * row["epochs"], epochs + int(row["epochs"]))
    return {key: seconds / epochs for key, (seconds, epochs) in sums.items()}
