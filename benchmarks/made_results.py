"""Makes up results of stages with the shapes and sizes of real ones."""

import hashlib
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from engine.counts import P_GRID, top_count
from engine.models.networks import build, prunable
from engine.stages.measure import measured_epochs
from engine.study.plan import Stage

CLASSES = {"cifar10": 10, "cifar100": 100, "digits": 10}
DENSE = {"resnet20": 91.8, "vgg11": 91.0, "mobilenet_v2": 93.2, "lenet300": 90.0}
# Points of accuracy that a pruned network gains or loses, and how much more of it a start or pruner loses when sparse.
GAIN = {"winning_ticket": -0.5, "reinit": -0.5, "rewind": -0.1, "finetune": 0.3}
FRAGILE = {"winning_ticket": 1.0, "reinit": 1.0, "rewind": 0.7, "finetune": 0.4}

Layers = tuple[tuple[str, ...], tuple[int, ...]]


@cache
def layers(network: str, dataset: str) -> Layers:
    """Return the names and sizes of a network's prunable weights, without allocating any."""
    with torch.device("meta"):
        module = build(network, 3, 32, CLASSES.get(dataset, 10))
    names = prunable(module)
    weights = dict(module.named_parameters())
    return names, tuple(weights[name].numel() for name in names)


def remembered(learning_rate: float) -> float:
    """Return how similar trained weights are to the initial ones: near 1 at low rates, 0 at high ones."""
    return math.exp(-learning_rate / 0.02)


def result(stage: Stage, seed: int) -> dict[str, Any]:
    """Return a stage's results as the JSON of `StageResult.to_json`; equal for equal stage and seed."""
    draw = np.random.default_rng([seed, int(stage.fingerprint, 16)])
    return {
        "fingerprint": stage.fingerprint,
        "epochs": epochs(stage, draw),
        "sparsity": 0.0 if stage.kind == "admm" else stage.sparsity,
        "seconds": 6.0 * stage.epochs,
        "device": "a made-up device",
        "overlaps": overlaps(stage, draw),
        "residuals": (0.5 * 0.6 ** np.arange(stage.admm.rounds)).tolist() if stage.admm else [],
        "versions": {"engine": "made up"},
        "retention": retention(stage, draw) if stage.kind == "pretrain" else [],
        "mask": _mask(stage) if stage.kind == "retrain" else None,
    }


def accuracy(stage: Stage, draw: np.random.Generator) -> float:
    """Return a stage's last test accuracy in percent."""
    best = DENSE[stage.network] - 1.1 * math.log10(stage.learning_rate / 0.1) ** 2
    best -= 24.0 if stage.images.name == "cifar100" else 0.0
    if stage.start is not None:
        memory = remembered(stage.learning_rate)
        lost = 6.0 * stage.sparsity**4 * FRAGILE[stage.start] + (1.5 * memory if stage.start == "reinit" else 0.0)
        best += GAIN[stage.start] - lost * (1.0 if len(stage.rounds) > 1 else 1.3)
    return float(best + draw.normal(0, 0.2))


def epochs(stage: Stage, draw: np.random.Generator) -> list[list[float]]:
    """Return the rows of a stage's epochs, rising to its accuracy with a jump where the learning rate drops."""
    total = stage.epochs
    number = np.arange(1, total + 1)
    rates = [stage.recipe.learning_rate(stage.learning_rate, epoch, total) for epoch in range(total)]
    rise = (1 - np.exp(-6 * number / total)) / (1 - math.exp(-6))
    rise *= 1 - 0.12 * (np.asarray(rates) / stage.learning_rate > 0.5)
    rise[-1] = 1.0
    test = 10 + (accuracy(stage, draw) - 10) * rise + np.append(draw.normal(0, 0.3, total - 1), 0.0)
    train = np.minimum(99.99, test + 7 * rise)
    losses = [2.4 - 0.0235 * values + np.abs(draw.normal(0, 0.01, total)) for values in (train, test)]
    columns = (rates, losses[0], train, losses[1], np.clip(test, 0, 100), np.full(total, 6.0))
    rows = np.column_stack(columns).round(5).tolist()
    return [[epoch, *row] for epoch, row in enumerate(rows, start=1)]


def overlaps(stage: Stage, draw: np.random.Generator) -> list[dict[str, Any]]:
    """Return the overlap counts of a stage by column, for the pairs that the engine measures after it."""
    memory = remembered(stage.learning_rate)
    if stage.kind == "pretrain":
        return [_pair("initial_pretrained", stage, memory, 1.0, P_GRID, draw)]
    if stage.start != "finetune":
        return []
    remaining = 1 - stage.sparsity
    within = tuple(p for p in P_GRID if p <= remaining)
    return [
        _pair("ticket_finetuned", stage, 0.8 * memory, remaining, P_GRID, draw),
        _pair("reinit_finetuned", stage, 0.0, remaining, P_GRID, draw),
        _pair("finetuned_initial", stage, 0.6 * memory, 1.0, within, draw, 1 + 0.3 * memory),
        _pair("finetuned_pretrained", stage, 0.75, 1.0, within, draw, 1 / remaining),
    ]


def _mask(stage: Stage) -> str:
    """Return a made-up hash of a stage's mask, the same for all starts."""
    text = f"{stage.parent} {stage.score} {stage.sparsity}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _pair(
    name: str,
    stage: Stage,
    strength: float,
    remaining: float,
    ps: Sequence[float],
    draw: np.random.Generator,
    mask_alone: float | None = None,
) -> dict[str, Any]:
    names, _ = layers(stage.network, stage.images.name)
    sizes, tops = _tops(stage.network, stage.images.name, remaining)
    tops = tops[:, : len(ps)]
    # The overlap is a little larger in later layers; a strength of 0 gives p.
    by_layer = strength * np.linspace(0.9, 1.0, len(names))[:, None]
    p = np.asarray(ps)
    share = np.clip(p + by_layer * (1 - p) + draw.normal(0, 0.01, tops.shape), 0, 1)
    counts = [
        np.repeat(names, len(ps)).tolist(),
        list(ps) * len(names),
        np.rint(share * tops).astype(int).ravel().tolist(),
        tops.ravel().tolist(),
        np.repeat(sizes, len(ps)).tolist(),
    ]
    if mask_alone is not None:
        counts.append((np.minimum(1.0, mask_alone * p) * tops).ravel().tolist())
    return {"pair": name, "counts": counts if ps else []}


@cache
def _tops(network: str, dataset: str, remaining: float) -> tuple[np.ndarray, np.ndarray]:
    sizes = [round(size * remaining) for size in layers(network, dataset)[1]]
    return np.asarray(sizes), np.asarray([[top_count(p, size) for p in P_GRID] for size in sizes])


def retention(stage: Stage, draw: np.random.Generator) -> list[list[float]]:
    """Return how the overlap with the initial weights falls while a network is pretrained, a row per epoch and p."""
    total = sum(layers(stage.network, stage.images.name)[1])
    end = remembered(stage.learning_rate)
    rows: list[list[float]] = []
    for epoch in measured_epochs(stage.epochs):
        similarity = end ** (math.log1p(epoch) / math.log1p(stage.epochs))
        for p in P_GRID:
            top = top_count(p, total)
            share = min(1.0, max(0.0, p + similarity * (1 - p) + draw.normal(0, 0.005)))
            rows.append([epoch, p, round(share * top), top])
    return rows
