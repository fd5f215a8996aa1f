"""Concurrent trainings on one device, each with the same numbers as alone."""

import functools
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from engine.capacity import STREAMS, Capacity
from engine.study.results import Epoch
from engine.training.device import ran_out_of_memory
from engine.training.sgd import Diverged, Training
from engine.training.stacked import Stack, can_stack

# Doubling the number of trainings must raise the speed by this factor; else the smaller number is used.
WORTHWHILE = 1.05
# Trainings may use this share of the GPU's memory; evaluation, measuring and other processes need the rest.
MEMORY_SHARE = 0.8
TIMED_STEPS, TIMED_REPEATS = 10, 3

EpochOutcome = Epoch | Diverged


def train(
    trainings: Sequence[Training],
    after_epoch: Callable[[Training, EpochOutcome], bool],
    more: Callable[[int], Sequence[Training]] = lambda going: (),
) -> None:
    """Train networks to their last epochs.

    after_epoch: called with a training and its new epoch, or the divergence; if it returns False, that training ends.
    more: called after each epoch with the number of trainings that continue, if any; returns others of their shape that
    join them.
    """
    going = [training for training in trainings if not training.done]
    while going:
        outcomes = run_epochs(going)
        going = [
            training
            for training, outcome in zip(going, outcomes, strict=True)
            if after_epoch(training, outcome) and isinstance(outcome, Epoch) and not training.done
        ]
        if going:
            going += more(len(going))


def run_epochs(trainings: Sequence[Training]) -> list[EpochOutcome]:
    """Train one epoch of each training, and return the epochs or divergences; the trainings are of one shape.

    On a GPU their steps are queued in turn, each on its training's own stream, and run concurrently. On a CPU small
    networks are stacked, and others are trained one after the other, because there one process per core runs
    concurrently. The seconds of a concurrent epoch are its share of the whole.
    """
    if len(trainings) == 1 or not (_stacked(trainings) or all(training.concurrent for training in trainings)):
        return [_outcome(training.run_epoch) for training in trainings]
    return side_by_side(trainings)


def side_by_side(trainings: Sequence[Training]) -> list[EpochOutcome]:
    """Train one epoch of each training concurrently, and return the epochs or divergences."""
    begin = time.perf_counter()
    for training in trainings:
        training.begin_epoch()
    step, evaluate = _joint_steps(trainings)
    for size in trainings[0].sizes:
        step(size)
    evaluate()
    for training in trainings:
        training.wait()
    share = (time.perf_counter() - begin) / len(trainings)
    return [_outcome(functools.partial(training.end_epoch, share)) for training in trainings]


def _stacked(trainings: Sequence[Training]) -> bool:
    return all(can_stack(training) for training in trainings)


def _joint_steps(trainings: Sequence[Training]) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return a function that takes a step of each training on batches of a size, and one that evaluates each."""
    if _stacked(trainings):
        stack = Stack(trainings)
        return stack.step, stack.evaluate

    def step(size: int) -> None:
        for training in trainings:
            training.step(size)

    def evaluate() -> None:
        for training in trainings:
            training.queue_evaluation()

    return step, evaluate


def _outcome(epoch: Callable[[], Epoch]) -> EpochOutcome:
    try:
        return epoch()
    except Diverged as diverged:
        return diverged


def is_random(network: nn.Module) -> bool:
    """Return whether a network uses random numbers in training; it must train alone, as a device has one generator."""
    return any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in network.modules())


def how_many(make: Callable[[], Training], device: torch.device) -> Capacity:
    """Return how many trainings of one shape to run concurrently on a device, from a short measurement.

    make: returns a new training, which the measurement trains and closes. Their number is doubled while one or two
    doublings raise the speed by the factor WORTHWHILE, and on a GPU while they fit into MEMORY_SHARE of the memory.
    """
    trainings = [make()]
    if is_random(trainings[0].network) or not (trainings[0].concurrent or _stacked(trainings)):
        return Capacity(fastest=1, most=1)
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    try:
        best, speed = 1, _steps_per_second(trainings)
        most = min(STREAMS, _fitting(device, before))
        tried = len(trainings)
        # A second doubling follows one without a gain, because on a busy machine one measurement may be too slow.
        while len(trainings) < min(4 * best, most):
            try:
                trainings += [make() for _ in trainings[: most - len(trainings)]]
                faster = _steps_per_second(trainings)
            except RuntimeError as error:
                if not ran_out_of_memory(error):
                    raise
                most = tried
                break
            tried = len(trainings)
            if faster >= WORTHWHILE * speed:
                best, speed = len(trainings), faster
    finally:
        for training in trainings:
            training.close()
    return Capacity(fastest=best, most=max(best, most))


def _fitting(device: torch.device, before: int) -> int:
    """Return how many trainings fit; one exists already. before: the bytes that were allocated before that one."""
    if device.type != "cuda":
        # On a CPU only stacked trainings are measured, and these are small.
        return STREAMS
    each = max(1, torch.cuda.memory_reserved(device) - before)
    free, total = torch.cuda.mem_get_info(device)
    return 1 + int(max(0.0, free - (1 - MEMORY_SHARE) * total) // each)


def _steps_per_second(trainings: Sequence[Training]) -> float:
    """Return the steps per second of all concurrent trainings: the best of a few measurements."""
    size = trainings[0].sizes[0]
    for training in trainings:
        training.begin_epoch()
    step = _joint_steps(trainings)[0] if len(trainings) > 1 else trainings[0].step
    step(size)
    return max(_timed(step, size, trainings) for _ in range(TIMED_REPEATS))


def _timed(step: Callable[[int], None], size: int, trainings: Sequence[Training]) -> float:
    for training in trainings:
        training.wait()
    begin = time.perf_counter()
    for _ in range(TIMED_STEPS):
        step(size)
    for training in trainings:
        training.wait()
    return TIMED_STEPS * len(trainings) / (time.perf_counter() - begin)
