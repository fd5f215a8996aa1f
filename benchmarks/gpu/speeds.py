"""Measures cases of one network, the plain loop and the lower bound in a process of its own."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks import lower_bound
from benchmarks.baseline import plain_loop
from benchmarks.fixtures import images, now, pruned_training
from benchmarks.gpu import child, kernels
from benchmarks.results_io import spread
from benchmarks.subprocess_loop import SubprocessLoop
from benchmarks.training import EngineLoop
from engine.dataset import Dataset
from engine.study.recipe import Recipe
from engine.training.augment import to_device
from engine.training.device import get_ready, ran_out_of_memory
from engine.training.sgd import Training

# The epochs that are timed, after one that is not.
TIMED = 3
PROFILED_STEPS = 10

Case = dict[str, Any]
Say = Callable[[dict[str, Any]], None]


def engine(case: Case, dataset: Dataset, device: torch.device, until: float, say: Say) -> None:
    """Time epochs, evaluation included, of networks side by side, as many as requested or as fit into the memory."""
    together = case["together"]
    while True:
        try:
            say(_timed(case, dataset, device, together, until))
            return
        except RuntimeError as error:
            if together == 1 or not ran_out_of_memory(error):
                raise
            together //= 2


def _timed(case: Case, dataset: Dataset, device: torch.device, together: int, until: float) -> dict[str, Any]:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    trainings = _trainings(case, dataset, device, together)
    try:
        loop, moments = EngineLoop(trainings), [now(device)]
        while len(moments) < 3 or (len(moments) < TIMED + 2 and 2 * moments[-1] - moments[-2] < until):
            accuracy = loop.run_epoch()
            moments.append(now(device))
    finally:
        for training in trainings:
            training.close()
    seconds = [later - earlier for earlier, later in pairwise(moments)]
    memory = torch.cuda.max_memory_reserved(device) / 2**20 if device.type == "cuda" else None
    return {
        "together": together,
        "seconds_per_epoch": spread([one / together for one in seconds[1:]]),
        "first_epoch_seconds": seconds[0],
        "epochs": len(seconds),
        "test_accuracy": accuracy,
        "memory_mib": memory,
    }


def _trainings(case: Case, dataset: Dataset, device: torch.device, together: int) -> list[Training]:
    recipe = Recipe(epochs=TIMED + 2, batch_size=case["batch_size"], precision=case["precision"])
    data = to_device(dataset, recipe.augmentation, device)
    return [pruned_training(case["network"], dataset, data, recipe, seed) for seed in range(together)]


def profiled(case: Case, dataset: Dataset, device: torch.device, until: float, say: Say) -> None:
    """Profile steps of networks side by side after an epoch of each."""
    del until
    trainings = _trainings(case, dataset, device, case["together"])
    try:
        EngineLoop(trainings).run_epoch()
        say(kernels.measure(trainings, PROFILED_STEPS if device.type == "cuda" else 1))
    finally:
        for training in trainings:
            training.close()


def plain(case: Case, dataset: Dataset, device: torch.device, until: float, say: Say) -> None:
    """Time epochs of the plain loop; the first, which includes its start, is provisional until there is another."""
    recipe = Recipe(epochs=TIMED + 1, batch_size=case["batch_size"])
    cores = os.cpu_count() or 1
    # One core is left for the loop itself.
    make = partial(plain_loop, case["network"], dataset, recipe, device, max(1, cores - 1), cores)
    with SubprocessLoop(make) as loop:
        moments: list[float] = [time.monotonic()]
        while len(moments) < 2 or (len(moments) < TIMED and 2 * moments[-1] - moments[-2] < until):
            accuracy = loop.run_epoch()
            moments.append(time.monotonic())
            seconds = [later - earlier for earlier, later in pairwise(moments)]
            say(
                {
                    "seconds_per_epoch": spread(seconds[1:] or seconds),
                    "first_epoch_seconds": seconds[0],
                    "epochs": len(seconds),
                    "provisional": len(seconds) == 1,
                    "loaders": max(1, cores - 1),
                    "test_accuracy": accuracy,
                }
            )


def floor(case: Case, dataset: Dataset, device: torch.device, until: float, say: Say) -> None:
    """Measure the lower bounds of an epoch of CIFAR."""
    del case, dataset, until
    say(lower_bound.lower_bounds(device))


KINDS = {"engine": engine, "kernels": profiled, "plain": plain, "floor": floor}


def fair(groups: Sequence[str], end: float, begin: float) -> float:
    """Return the moment by which the first of some groups must have ended, so that all get an equal share."""
    return begin + max(0.0, end - begin) / max(1, len(groups))


def main() -> None:
    """Measure each case of the task in turn, and say each result at once; each group gets its share of the time."""
    task = child.task()
    device = torch.device(task["device"])
    get_ready(device, 1)
    dataset = images(task["images"], Path(task["home"]), task["train"], task["test"])
    groups = list(dict.fromkeys(case["group"] for case in task["cases"]))
    while groups:
        until = fair(groups, task["until"], time.monotonic())
        group = groups.pop(0)
        for case in task["cases"]:
            if case["group"] == group and time.monotonic() < until:
                _measure(case, dataset, device, until)


def _measure(case: Case, dataset: Dataset, device: torch.device, until: float) -> None:
    child.say({"begins": case["key"]})
    try:
        KINDS[case["kind"]](case, dataset, device, until, partial(_say, case))
    except Exception as error:  # The report shows what a device does not support.
        child.say({"case": case["key"], "failed": f"{type(error).__name__}: {error}"[:400]})
        if device.type == "cuda" and not ran_out_of_memory(error):
            # After some errors of CUDA nothing works in this process any more; the next case gets another.
            sys.exit(1)


def _say(case: Case, values: dict[str, Any]) -> None:
    child.say({"case": case["key"], "values": values})


if __name__ == "__main__":
    main()
