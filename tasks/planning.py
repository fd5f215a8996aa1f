"""What a study would take, before anything is queued."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data.artifacts import Artifacts
from data.datasets import DatasetError, absolute, identity, shape
from data.settings import Settings, settings
from engine.plan import Plan, plan
from engine.spec import Study, StudyError
from tasks import telemetry
from tasks.broker import BrokerError, connect
from tasks.devices import devices, precision
from tasks.estimate import estimated_seconds


@dataclass(frozen=True)
class Preview:
    """What a study would take.

    stages: all of them; trainings: the same number, since every stage trains a network. reused: those that are done
    already. by_kind: stages of each kind. estimated_seconds: for the rest, on `workers` workers.
    """

    plan: Plan
    stages: int
    trainings: int
    reused: int
    by_kind: dict[str, int]
    estimated_seconds: float
    workers: int

    @property
    def remaining(self) -> int:
        """The trainings still to be done."""
        return self.trainings - self.reused


def number_of_test_images(study: Study, dataset: str) -> int | None:
    """Return how many images a study tests on, None where a dataset is not there to be counted."""
    try:
        return study.test_images or shape(dataset, settings().home).test
    except DatasetError:
        return None


def plan_study(study: Study, home: Path) -> Plan:
    """Return a study's plan, with folders by their absolute paths and an open precision settled; home: `Settings.home`.

    DatasetError where a dataset is not known or not there, StudyError where it holds fewer images than asked for.
    """
    # Workers run in other folders, and on other hosts.
    study = _settled(_everywhere(study))
    identities = {name: identity(name, home) for name in study.datasets}
    for name in study.datasets:
        there = shape(name, home)
        for field, limit, count in (
            ("train_images", study.train_images, there.train),
            ("test_images", study.test_images, there.test),
        ):
            if limit is not None and limit > count:
                raise StudyError({field: f"{limit} is more than {name} holds; allowed: 1 to {count}, or none for all"})
    return plan(study, identities)


def _everywhere(study: Study) -> Study:
    def renamed(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(absolute(name) for name in names)

    parts = tuple(part.model_copy(update={"datasets": renamed(part.datasets)}) for part in study.parts)
    return study.model_copy(update={"datasets": renamed(study.datasets), "parts": parts})


def _settled(study: Study) -> Study:
    """Return a study with the precision that this machine's devices are fastest in, where it left that open."""
    if study.recipe.precision != "auto":
        return study
    config = settings()
    chosen = precision(devices(config.device, config.workers))
    return study.model_copy(update={"recipe": study.recipe.model_copy(update={"precision": chosen})})


def preview(study: Study) -> Preview:
    """Return what a study would take here and now; needs no Redis.

    Raises ArtifactError, and what `plan_study` raises.
    """
    config = settings()
    planned = plan_study(study, config.home)
    reused = Artifacts(config.artifacts).finished() & planned.stages.keys()
    busy = worker_devices(config)
    return Preview(
        plan=planned,
        stages=len(planned.stages),
        trainings=len(planned.stages),
        reused=len(reused),
        by_kind=dict(Counter(stage.kind for stage in planned.stages.values())),
        estimated_seconds=estimated_seconds(config, planned, reused, busy),
        workers=len(busy),
    )


def worker_devices(config: Settings) -> list[str]:
    """Return the devices of the workers that live now, or of those that this machine would start."""
    try:
        live = [worker.device for worker in telemetry.workers(connect(0.0))]
    except BrokerError:
        live = []
    return live or devices(config.device, config.workers)
