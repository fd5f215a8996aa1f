"""How long a plan will take, from measured speeds where there are any, else from the work that it holds."""

import heapq
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from engine.dataset import Shape
from engine.study.plan import Plan, Stage

# Seconds that a stage takes beside its epochs: dispatch, loading, measuring and saving.
STAGE_OVERHEAD = 0.3
# Floating-point operations per second that training reaches where nothing was measured yet: a guess, shown as such.
GUESSED_RATE = {"cpu": 1e11, "cuda": 5e12}
# Backward costs about twice the forward pass.
TRAINING_FACTOR = 3
# A small network is bound by the launching of its operations, not by arithmetic.
SECONDS_PER_STEP = 4e-4

# From a network's name, channels, image size in pixels and classes to the floating-point operations of one image's
# forward pass, such as `engine.models.flops.flops_per_image`: only PyTorch can count them, which this folder does
# without.
Flops = Callable[[str, int, int, int], float]


@dataclass(frozen=True)
class Speed:
    """What decides how long an epoch takes on one kind of hardware; train is the number of training images."""

    network: str
    image_size: int
    train: int
    batch_size: int
    precision: str


def speed_key(stage: Stage, shape: Shape) -> Speed:
    """Return the key under which a stage's seconds per epoch are comparable."""
    train = stage.images.train or shape.train
    return Speed(stage.network, shape.image_size, train, stage.recipe.batch_size, stage.recipe.precision)


def stage_seconds(stage: Stage, shape: Shape, speeds: Mapping[Speed, float], device: str, flops: Flops) -> float:
    """Return the seconds that a stage will take on one worker.

    device: "cpu" or "cuda". flops: called only where no speed of the network was measured.
    """
    key = speed_key(stage, shape)
    measured = speeds.get(key)
    if measured is None:
        like = [
            seconds / s.train
            for s, seconds in speeds.items()
            if s.network == key.network and s.image_size == key.image_size
        ]
        measured = sum(like) / len(like) * key.train if like else _guess(stage, shape, key, device, flops)
    return stage.epochs * measured + STAGE_OVERHEAD


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
    """Return the seconds until a plan is done.

    finished: fingerprints that are done already. shapes: by dataset name. speeds: measured seconds per epoch. workers:
    how many train at once, at least 1. flops: as of `stage_seconds`. The plan is played through: each stage goes to the
    first free worker once its parent is done.
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
