"""What runs have measured, arranged so that two of them can be compared seed by seed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# By seed.
Values = dict[int, float]


@dataclass(frozen=True)
class Point:
    """One finished training: accuracy in percent, NaN where it diverged; a dense one has no pruner and start dense."""

    dataset: str
    network: str
    learning_rate: float
    seed: int
    pruner: str | None
    sparsity: float
    start: str
    accuracy: float


@dataclass(frozen=True)
class OverlapPoint:
    """One overlap ratio of a finished training; pair is one of engine.results.PAIRS."""

    dataset: str
    network: str
    learning_rate: float
    seed: int
    pruner: str | None
    sparsity: float
    start: str
    pair: str
    p: float
    ratio: float


class Group:
    """All runs of one dataset and network."""

    def __init__(self, dataset: str, network: str) -> None:
        self.dataset = dataset
        self.network = network
        self._accuracy: dict[tuple[str | None, float, float, str], Values] = {}
        self._ratio: dict[tuple[str, str | None, float, float, float], Values] = {}

    def add(self, point: Point | OverlapPoint) -> None:
        """Take a run in."""
        sparsity = round(point.sparsity, 6)
        if isinstance(point, Point):
            key = (point.pruner, point.learning_rate, sparsity, point.start)
            self._accuracy.setdefault(key, {})[point.seed] = point.accuracy
        else:
            place = (point.pair, point.pruner, point.learning_rate, sparsity, round(point.p, 4))
            self._ratio.setdefault(place, {})[point.seed] = point.ratio

    def dense(self, rate: float) -> Values:
        """Return the dense accuracies at a learning rate."""
        return self._accuracy.get((None, rate, 0.0, "dense"), {})

    def accuracy(self, pruner: str, rate: float, sparsity: float, start: str) -> Values:
        """Return the accuracies of a start."""
        return self._accuracy.get((pruner, rate, sparsity, start), {})

    def ratio(self, pair: str, pruner: str | None, rate: float, sparsity: float, p: float) -> Values:
        """Return the overlap ratios of a pair."""
        return self._ratio.get((pair, pruner, rate, sparsity, p), {})

    def rates(self) -> list[float]:
        """Return the learning rates, from the lowest."""
        return sorted({key[1] for key in self._accuracy} | {key[2] for key in self._ratio})

    def pruners(self) -> list[str]:
        """Return the pruners in the order in which they come."""
        return list(dict.fromkeys(key[0] for key in self._accuracy if key[0] is not None))

    def sparsities(self, pruner: str, rate: float) -> list[float]:
        """Return the sparsities of a pruner at a learning rate, rising."""
        return sorted({key[2] for key in self._accuracy if key[0] == pruner and key[1] == rate})

    def overlap_places(self, pair: str, rate: float) -> list[tuple[str | None, float, float]]:
        """Return pruner, sparsity and p of all overlaps of a pair at a learning rate."""
        return sorted(
            {(key[1], key[3], key[4]) for key in self._ratio if key[0] == pair and key[2] == rate},
            key=lambda place: (place[0] or "", *place[1:]),
        )


def groups(points: Iterable[Point], overlaps: Iterable[OverlapPoint]) -> list[Group]:
    """Return runs by dataset and network, in order of name."""
    found: dict[tuple[str, str], Group] = {}
    runs: list[Point | OverlapPoint] = [*points, *overlaps]
    for point in runs:
        key = (point.dataset, point.network)
        found.setdefault(key, Group(*key)).add(point)
    return [found[key] for key in sorted(found)]


def difference(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[Values, str]:
    """Return one minus the other by seed, and in words which seeds are left out of it."""
    both = sorted(one.keys() & other.keys())
    values = {seed: one[seed] - other[seed] for seed in both}
    return finite(values, len(one.keys() | other.keys()))


def finite(values: Mapping[int, float], asked: int | None = None) -> tuple[Values, str]:
    """Return the finite values, and in words how many of those asked for are missing or not finite."""
    asked = len(values) if asked is None else asked
    kept = {seed: value for seed, value in values.items() if math.isfinite(value)}
    odd, unpaired = len(values) - len(kept), asked - len(values)
    told = [f"{odd} of {asked} seeds have no finite value"] * (odd > 0)
    told += [f"{unpaired} of {asked} seeds have only one of the two runs"] * (unpaired > 0)
    return kept, "; ".join(told)


def average(parts: Iterable[Mapping[int, float]]) -> Values:
    """Return for each seed the mean over some comparisons, of the seeds that have all of them."""
    listed = [part for part in parts if part]
    if not listed:
        return {}
    seeds = set.intersection(*(set(part) for part in listed))
    return {seed: math.fsum(part[seed] for part in listed) / len(listed) for seed in sorted(seeds)}
