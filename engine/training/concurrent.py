"""Concurrent trainings on one device, each with the same numbers as alone."""

import functools
import time
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import nn

from engine.study.results import Epoch
from engine.training.capacity import STREAMS, Capacity
from engine.training.device import ran_out_of_memory
from engine.training.sgd import Diverged, Training
from engine.training.stacked import Stack, can_stack

# Doubling the number of trainings must raise the speed by this factor; else the smaller number is used.
WORTHWHILE = 1.05
# Trainings may use this share of the GPU's memory; measuring, recording and other processes need the rest.
MEMORY_SHARE = 0.8
TIMED_STEPS, TIMED_REPEATS = 10, 3
# A GPU queues about a thousand launches, and then the next one waits. After half of them, this process does other work
# while the GPU has enough of its own.
LAUNCHES_AHEAD = 500

EpochOutcome = Epoch | Diverged
Work = Callable[[], object]


def train(
    trainings: Sequence[Training],
    after_epoch: Callable[[Training, EpochOutcome], bool],
    more: Callable[[int], Sequence[Training]] = lambda going: (),
    waiting: deque[Work] | None = None,
) -> None:
    """Train networks to their last epochs.

    after_epoch: called with a training and its new epoch, or the divergence; if it returns False, that training ends.
    waiting: works that `after_epoch` adds, such as saving, which no longer need the training as it is between two
    epochs. They are done in order before the next call of `after_epoch`: on a GPU while it trains the next epoch, on a
    CPU, which would gain nothing, before that epoch. more: called after them with the number of trainings that
    continue, if any; returns others of their shape that join them.
    """
    waiting = deque() if waiting is None else waiting
    joining: list[Training] = []
    going = [training for training in trainings if not training.done]
    while going:
        outcomes = run_epochs(going, waiting)
        going = [
            training
            for training, outcome in zip(going, outcomes, strict=True)
            if after_epoch(training, outcome) and isinstance(outcome, Epoch) and not training.done
        ]
        going += joining
        joining.clear()
        if going:
            waiting.append(functools.partial(_join, joining, more, len(going)))
        if not going or not all(training.concurrent for training in going):
            _do_all(waiting)
            going += joining
            joining.clear()


def _join(joining: list[Training], more: Callable[[int], Sequence[Training]], going: int) -> None:
    joining += more(going)


def _do_all(waiting: deque[Work]) -> None:
    while waiting:
        waiting.popleft()()


def run_epochs(trainings: Sequence[Training], waiting: deque[Work] | None = None) -> list[EpochOutcome]:
    """Train one epoch of each training, and return the epochs or divergences; the trainings are of one shape.

    On a GPU their steps are queued in turn, each on its training's own stream, and run concurrently; meanwhile the
    waiting works are done. On a CPU small networks are stacked, and others are trained one after the other, because
    there one process per core runs concurrently. The seconds of a concurrent epoch are its share of the whole.
    """
    waiting = deque() if waiting is None else waiting
    if all(training.concurrent for training in trainings) and not _needs_seed(trainings):
        return side_by_side(trainings, waiting)
    _do_all(waiting)
    if len(trainings) > 1 and _stacked(trainings):
        return side_by_side(trainings)
    return [_outcome(training.run_epoch) for training in trainings]


def _needs_seed(trainings: Sequence[Training]) -> bool:
    return len(trainings) == 1 and is_random(trainings[0].network)


def side_by_side(trainings: Sequence[Training], waiting: deque[Work] | None = None) -> list[EpochOutcome]:
    """Train one epoch of each training concurrently, and return the epochs or divergences; waiting: see `train`."""
    waiting = deque() if waiting is None else waiting
    begin = time.perf_counter()
    for training in trainings:
        training.begin_epoch()
    if _stacked(trainings):
        stack = Stack(trainings)
        for size in trainings[0].sizes:
            stack.step(size)
        stack.evaluate()
    else:
        _queue(trainings, waiting)
    for training in trainings:
        training.draw_ahead()
    _do_all(waiting)
    for training in trainings:
        training.wait()
    share = (time.perf_counter() - begin) / len(trainings)
    return [_outcome(functools.partial(training.end_epoch, share)) for training in trainings]


def _queue(trainings: Sequence[Training], waiting: deque[Work]) -> None:
    """Queue the steps of each training in turn, and behind its last one its evaluation.

    Whenever the device has enough to do, one other work is done. A training that has just joined records its graphs,
    which takes this process a moment, and then its steps are queued too, some turns behind the others, so that the GPU
    goes on with theirs meanwhile. Once all have joined, the waiting works follow.
    """
    joining = deque(training for training in trainings if not training.is_recorded)
    turns = {training: iter(training.sizes) for training in trainings if training.is_recorded}
    launched = 0
    while turns or joining:
        for training, sizes in list(turns.items()):
            size = next(sizes, None)
            if size is None:
                training.queue_evaluation()
                del turns[training]
            else:
                training.step(size)
                launched += 1
        if launched >= LAUNCHES_AHEAD or not turns:
            launched = 0
            if joining:
                training = joining.popleft()
                training.record()
                turns[training] = iter(training.sizes)
            elif waiting:
                waiting.popleft()()


def _stacked(trainings: Sequence[Training]) -> bool:
    return all(can_stack(training) for training in trainings)


def _outcome(epoch: Callable[[], Epoch]) -> EpochOutcome:
    try:
        return epoch()
    except Diverged as diverged:
        return diverged


def is_random(network: nn.Module) -> bool:
    """Return whether a network uses random numbers in training; it must train alone, as a device has one generator."""
    return any(_drops(module) for module in network.modules())


def _drops(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return float(module.dropout) > 0
    # The latter is torchvision's, which not every network needs to be imported.
    is_dropout = isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ == "StochasticDepth"
    return is_dropout and float(getattr(module, "p", 0.0)) > 0


def how_many(make: Callable[[], Training], device: torch.device) -> Capacity:
    """Return how many trainings of one shape to run concurrently on a device, from a short measurement.

    make: returns a new training, which the measurement trains and closes. Their number is doubled while one or two
    doublings raise the speed by the factor WORTHWHILE, and on a GPU while they fit into MEMORY_SHARE of the memory.
    """
    if device.type == "cuda":
        # The first one puts the images onto the device, which stay there.
        make().close()
    before = _reserved(device)
    trainings = [make()]
    if is_random(trainings[0].network) or not (trainings[0].concurrent or _stacked(trainings)):
        return Capacity(fastest=1, most=1)
    try:
        best, speed = 1, _epochs_per_second(trainings)
        each = _reserved(device) - before
        most = min(STREAMS, 1 + fitting(device, each))
        tried = len(trainings)
        # A second doubling follows one without a gain, because on a busy machine one measurement may be too slow.
        while len(trainings) < min(4 * best, most):
            try:
                trainings += [make() for _ in trainings[: most - len(trainings)]]
                faster = _epochs_per_second(trainings)
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
    return Capacity(fastest=best, most=max(best, most), each=each)


def fitting(device: torch.device, each: int) -> int:
    """Return how many further trainings of `each` bytes fit into a device's memory at the moment.

    The free memory is what no process has taken. Other processes' memory and this one's CUDA context are no part of it,
    nor what PyTorch holds for trainings in progress; what it holds unused is freed before. Of the rest,
    1 - MEMORY_SHARE of the whole memory stays free.
    """
    if device.type != "cuda" or not each:
        # On a CPU only stacked trainings are measured, and these are small.
        return STREAMS
    _reserved(device)
    free, total = torch.cuda.mem_get_info(device)
    return int(max(0.0, free - (1 - MEMORY_SHARE) * total) // each)


def _reserved(device: torch.device) -> int:
    """Free the memory that PyTorch holds unused, and return the bytes that it holds then, 0 for a CPU.

    These, not the bytes of tensors, are what a training takes: the memory of its graphs holds no tensor between steps,
    and yet nobody else can use it.
    """
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(device)


def _epochs_per_second(trainings: Sequence[Training]) -> float:
    """Return the epochs per second of all concurrent trainings, from a part of an epoch.

    Some of its steps are timed, and what comes once in an epoch: the evaluation, the wait for its end, and the begin of
    the next. Each time is the least of a few, because only other work on the machine makes one longer.
    """
    size, steps = trainings[0].sizes[0], len(trainings[0].sizes)
    step, once = _parts(trainings)
    for training in trainings:
        training.begin_epoch()
    step(size)
    once()
    step_seconds = min(_seconds(lambda: [step(size) for _ in range(TIMED_STEPS)], trainings) for _ in _repeats())
    once_seconds = min(_seconds(once, trainings) for _ in _repeats())
    return len(trainings) / (steps * step_seconds / TIMED_STEPS + once_seconds)


def _repeats() -> range:
    return range(TIMED_REPEATS)


def _parts(trainings: Sequence[Training]) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return a function that takes a step of each training, and one that does the rest of an epoch."""
    stack = Stack(trainings) if len(trainings) > 1 and _stacked(trainings) else None

    def step(size: int) -> None:
        for training in trainings:
            training.step(size)

    def once() -> None:
        if stack is not None:
            stack.evaluate()
        else:
            for training in trainings:
                training.queue_evaluation()
        for training in trainings:
            training.wait()
            training.begin_epoch()

    return step if stack is None else stack.step, once


def _seconds(work: Work, trainings: Sequence[Training]) -> float:
    """Return the seconds of some work until the device has done it."""
    for training in trainings:
        training.wait()
    begin = time.perf_counter()
    work()
    for training in trainings:
        training.wait()
    return time.perf_counter() - begin
