"""How long a plan will take, from measured speeds where there are any, else from its floating-point operations."""

import heapq
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from engine.dataset import Shape
from engine.study.plan import Plan, Stage

# A stage takes this many seconds beside its epochs: dispatch, loading, measuring and saving.
STAGE_OVERHEAD = 0.3
# Before anything is measured, training is guessed to reach this many floating-point operations per second.
GUESSED_RATE = {"cpu": 1e11, "cuda": 5e12}
# Backward costs about twice the forward pass.
TRAINING_FACTOR = 3
# The time of a small network is that of launching its operations, not of arithmetic.
SECONDS_PER_STEP = 4e-4

# From a network's name, channels, image size in pixels and classes to the floating-point operations of one image's
# forward pass. A function is passed in, because only PyTorch knows the layers of an added network.
Flops = Callable[[str, int, int, int], float]


@dataclass(frozen=True)
class Speed:
    """What an epoch's duration depends on, on one kind of hardware; train is the number of training images."""

    network: str
    image_size: int
    train: int
    batch_size: int
    precision: str


def speed_key(stage: Stage, shape: Shape) -> Speed:
    """Return the key of a stage's seconds per epoch among measured speeds."""
    train = stage.images.train or shape.train
    return Speed(stage.network, shape.image_size, train, stage.recipe.batch_size, stage.recipe.precision)


def stage_seconds(stage: Stage, shape: Shape, speeds: Mapping[Speed, float], device: str, flops: Flops) -> float:
    """Return the seconds that a stage will take on one worker.

    device: "cpu" or "cuda". flops: called only where no speed of the network was measured.
    """
    key = speed_key(stage, shape)
    epoch_seconds = speeds.get(key)
    if epoch_seconds is None:
        per_image = [
            seconds / speed.train
            for speed, seconds in speeds.items()
            if speed.network == key.network and speed.image_size == key.image_size
        ]
        mean = sum(per_image) / len(per_image) if per_image else None
        epoch_seconds = _guess(stage, shape, key, device, flops) if mean is None else mean * key.train
    return stage.epochs * epoch_seconds + STAGE_OVERHEAD


def _guess(stage: Stage, shape: Shape, key: Speed, device: str, flops: Flops) -> float:
    per_image = flops(stage.network, shape.channels, shape.image_size, shape.classes)
    images = TRAINING_FACTOR * key.train + (stage.images.test or shape.test)
    steps = -(-key.train // key.batch_size)
    return per_image * images / GUESSED_RATE[device] + steps * SECONDS_PER_STEP


def estimate_seconds(
    plan: Plan,
    finished: Container[str],
    shapes: Mapping[str, Shape],
    speeds: Mapping[Speed, float],
    workers: int,
    device: str,
    flops: Flops,
) -> float:
    """Return the seconds until a plan is done, from a simulation in which each stage goes to the first free worker.

    finished: fingerprints that are done already. shapes: by dataset name. speeds: measured seconds per epoch. workers:
    their number, at least 1. flops: as in `stage_seconds`. A stage waits for its parent.
    """
    free = [0.0] * max(1, workers)
    done_at: dict[str, float] = {}
    for fingerprint, stage in plan.stages.items():
        if fingerprint in finished:
            done_at[fingerprint] = 0.0
            continue
        ready = done_at.get(stage.parent, 0.0) if stage.parent else 0.0
        begin = max(heapq.heappop(free), ready)
        done_at[fingerprint] = begin + stage_seconds(stage, shapes[stage.images.name], speeds, device, flops)
        heapq.heappush(free, done_at[fingerprint])
    return max(done_at.values(), default=0.0)
