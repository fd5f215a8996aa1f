"""The overlaps that a stage measures: at its end, and of a pretraining with its initial weights at several epochs."""

import time
from collections.abc import Callable
from functools import partial

import torch

from engine.counts import P_GRID
from engine.dataset import Dataset
from engine.masks import Mask
from engine.overlap import overlap_counts
from engine.stages import starts
from engine.stages.starts import State, required
from engine.stages.weights import Weights
from engine.study.plan import Stage
from engine.study.results import Overlap, Retained
from engine.training.sgd import Training

# A pretraining is compared with its initial weights after this many epochs, which grow by a constant factor from the
# first to the last, because the overlap falls most in the first epochs.
MEASUREMENTS = 10


def measured_epochs(epochs: int) -> tuple[int, ...]:
    """Return the epochs, counted from 1, after which a pretraining is compared with its initial weights."""
    last = MEASUREMENTS - 1
    return tuple(sorted({round(epochs ** (index / last)) for index in range(MEASUREMENTS)}))


class Retention:
    """The overlap with the initial weights, measured during a pretraining; stages of other kinds measure nothing."""

    def __init__(self, stage: Stage, weights: Weights, layers: tuple[str, ...]) -> None:
        self.rows: list[Retained] = []
        self.seconds = 0.0
        self._measured_epochs = measured_epochs(stage.epochs) if stage.kind == "pretrain" else ()
        self._initial: State = {}
        if self._measured_epochs:
            initial = weights.load(stage.fingerprint, "initial")
            self._initial = {layer: initial[layer] for layer in layers}

    def measure(self, training: Training, epoch: int) -> Callable[[], None] | None:
        """Return after one of the measured epochs a function that compares the weights with the initial ones.

        It compares them as they are now, however far they are trained by the time of its call.
        """
        if epoch not in self._measured_epochs:
            return None
        weights = training.network.state_dict()
        now = {layer: weights[layer].clone() for layer in self._initial}
        return partial(self._compare, now, epoch)

    def _compare(self, now: State, epoch: int) -> None:
        begin = time.perf_counter()
        initial = {layer: tensor.to(now[layer].device) for layer, tensor in self._initial.items()}
        counts = overlap_counts(initial, now, P_GRID)
        for p in P_GRID:
            layers = [count for count in counts if count.p == p]
            self.rows.append(Retained(epoch, p, sum(c.intersection for c in layers), sum(c.top for c in layers)))
        self.seconds += time.perf_counter() - begin

    def state(self) -> State:
        """Return the measurements so far, for a checkpoint."""
        rows = [[row.epoch, row.p, row.intersection, row.top] for row in self.rows]
        return {"retention": torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)} if self._measured_epochs else {}

    def load(self, state: State) -> None:
        """Continue from the measurements that `state` returned."""
        if "retention" in state:
            self.rows = [Retained(int(e), round(p, 2), int(i), int(t)) for e, p, i, t in state["retention"].tolist()]


def overlaps(
    stage: Stage, dataset: Dataset, weights: Weights, trained: State, mask: Mask, device: torch.device
) -> tuple[Overlap, ...]:
    """Return the overlaps that a stage measures at its end (figures 2 and 4-6, table 1)."""

    def measure(pair: str, a: State, b: State, within: Mask | None = None, held: Mask | None = None) -> Overlap:
        masks = (within and on_device(within), held and on_device(held))
        return Overlap(pair, tuple(overlap_counts(on_device(a), on_device(b), P_GRID, *masks)))

    def on_device(tensors: State) -> State:
        return {layer: tensors[layer].to(device) for layer in trained}

    if stage.kind == "pretrain":
        return (measure("initial_pretrained", weights.load(stage.fingerprint, "initial"), trained),)
    if stage.start != "finetune":
        return ()
    root = required(stage.root, stage)
    initial, pretrained = weights.load(root, "initial"), weights.load(root, "trained")
    reinit = starts.reinit(stage, dataset, weights)
    return (
        measure("ticket_finetuned", initial, trained, mask),
        measure("reinit_finetuned", reinit, trained, mask),
        measure("finetuned_initial", trained, initial, held=mask),
        measure("finetuned_pretrained", trained, pretrained, held=mask),
    )
