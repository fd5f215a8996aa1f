"""Measurements of runs, arranged so that runs can be compared seed by seed."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

# Measurements by seed.
Values = dict[int, float]


@dataclass(frozen=True)
class Point:
    """One finished training, with its accuracy in percent, or NaN where it diverged; start is "dense" without a pruner.

    training: identifies the training, such as its fingerprint, so that none is compared with itself. mask: identifies
    its mask likewise. moved: under ADMM, the fraction of the kept weights that one-shot pruning of theta_T would not
    keep. Each of the three is None where it is not recorded.
    """

    dataset: str
    network: str
    learning_rate: float
    seed: int
    pruner: str | None
    sparsity: float
    start: str
    accuracy: float
    training: str | None = None
    mask: str | None = None
    moved: float | None = None


@dataclass(frozen=True)
class OverlapPoint:
    """One overlap ratio of a finished training; pair is one of engine.study.results.PAIRS.

    level: the level of the mask alone (see `engine.overlap.mask_alone`) for pairs of a pruned and a dense network;
    None for other pairs, whose level is p, and where it is not recorded.
    """

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
    level: float | None = None


@dataclass(frozen=True)
class Gap:
    """The finite differences by seed.

    odd: the seeds left out because a value is not finite. lacking: the seeds left out because a run is missing.
    """

    values: Values
    odd: frozenset[int] = frozenset()
    lacking: frozenset[int] = frozenset()

    @property
    def note(self) -> str:
        """A sentence on the seeds that are left out; empty if none is."""
        total = len(self.values) + len(self.odd) + len(self.lacking)
        notes = [f"{len(self.odd)} of {_seeds(total)} {_have(self.odd)} no finite value"] * bool(self.odd)
        notes += [f"{len(self.lacking)} of {_seeds(total)} {_have(self.lacking)} not every run"] * bool(self.lacking)
        return "; ".join(notes)


class Group:
    """All runs of one dataset and network."""

    def __init__(self, dataset: str, network: str) -> None:
        self.dataset = dataset
        self.network = network
        self._accuracy: dict[tuple[str | None, float, float, str], Values] = {}
        self._sparsities: dict[tuple[str | None, float], set[float]] = {}
        self._training: dict[tuple[str | None, float, float, str], dict[int, tuple[str | None, str | None]]] = {}
        self._moved: dict[tuple[str, float, float], Values] = {}
        self._ratio: dict[tuple[str, str | None, float, float, float], Values] = {}
        self._level: dict[tuple[str, str | None, float, float, float], Values] = {}

    def add(self, point: Point | OverlapPoint) -> None:
        """Add a run, which replaces an earlier one of the same place and seed."""
        sparsity = round(point.sparsity, 6)
        if isinstance(point, Point):
            key = (point.pruner, point.learning_rate, sparsity, point.start)
            self._accuracy.setdefault(key, {})[point.seed] = point.accuracy
            self._sparsities.setdefault(key[:2], set()).add(sparsity)
            self._training.setdefault(key, {})[point.seed] = (point.training, point.mask)
            if point.moved is not None and point.pruner is not None:
                self._moved.setdefault((point.pruner, point.learning_rate, sparsity), {})[point.seed] = point.moved
        else:
            place = (point.pair, point.pruner, point.learning_rate, sparsity, round(point.p, 4))
            self._ratio.setdefault(place, {})[point.seed] = point.ratio
            if point.level is not None:
                self._level.setdefault(place, {})[point.seed] = point.level

    def dense(self, rate: float) -> Values:
        """Return the dense accuracies at a learning rate."""
        return self._accuracy.get((None, rate, 0.0, "dense"), {})

    def accuracy(self, pruner: str, rate: float, sparsity: float, start: str) -> Values:
        """Return the accuracies of a start."""
        return self._accuracy.get((pruner, rate, sparsity, start), {})

    def shared(self, pruners: tuple[str, str], rate: float, sparsity: float, start: str) -> set[int]:
        """Return the seeds for which two pruners give the same training or the same mask."""
        one, other = (self._training.get((name, rate, sparsity, start), {}) for name in pruners)
        return {
            seed
            for seed in one.keys() & other.keys()
            if any(mine is not None and mine == theirs for mine, theirs in zip(one[seed], other[seed], strict=True))
        }

    def moved(self, pruner: str, rate: float, sparsity: float) -> Values:
        """Return the fractions of the weights kept by ADMM that one-shot pruning would not keep."""
        return self._moved.get((pruner, rate, sparsity), {})

    def level(self, pair: str, pruner: str | None, rate: float, sparsity: float, p: float) -> Values:
        """Return the recorded levels of the mask alone of a pair."""
        return self._level.get((pair, pruner, rate, sparsity, p), {})

    def ratio(self, pair: str, pruner: str | None, rate: float, sparsity: float, p: float) -> Values:
        """Return the overlap ratios of a pair."""
        return self._ratio.get((pair, pruner, rate, sparsity, p), {})

    def rates(self) -> list[float]:
        """Return the learning rates, increasing."""
        return sorted({rate for _, rate in self._sparsities} | {key[2] for key in self._ratio})

    def pruners(self) -> list[str]:
        """Return the pruners, sorted by name."""
        return sorted({pruner for pruner, _ in self._sparsities if pruner is not None})

    def sparsities(self, pruner: str, rate: float) -> list[float]:
        """Return the sparsities of a pruner at a learning rate, increasing."""
        return sorted(self._sparsities.get((pruner, rate), ()))

    def overlap_places(self, pair: str, rate: float) -> list[tuple[str | None, float, float]]:
        """Return pruner, sparsity and p of all overlaps of a pair at a learning rate."""
        return sorted(
            {(key[1], key[3], key[4]) for key in self._ratio if key[0] == pair and key[2] == rate},
            key=lambda place: (place[0] or "", *place[1:]),
        )


def groups(points: Iterable[Point], overlaps: Iterable[OverlapPoint]) -> list[Group]:
    """Return the runs grouped by dataset and network, sorted by name."""
    by_place: dict[tuple[str, str], Group] = {}
    runs: list[Point | OverlapPoint] = [*points, *overlaps]
    for point in runs:
        key = (point.dataset, point.network)
        by_place.setdefault(key, Group(*key)).add(point)
    return [by_place[key] for key in sorted(by_place)]


def difference(one: Mapping[int, float], other: Mapping[int, float]) -> Gap:
    """Return one minus the other, seed by seed."""
    both = sorted(one.keys() & other.keys())
    gap = finite({seed: one[seed] - other[seed] for seed in both})
    return Gap(gap.values, gap.odd, frozenset(one.keys() ^ other.keys()))


def finite(values: Mapping[int, float]) -> Gap:
    """Return the values that are finite, and the seeds of the others as `odd`."""
    numbers = {seed: value for seed, value in values.items() if math.isfinite(value)}
    return Gap(numbers, frozenset(values.keys() - numbers.keys()))


def average(gaps: Sequence[Gap], least: int) -> tuple[Gap, int]:
    """Return for each seed the mean over several differences, and the number of differences in that mean.

    The mean covers the differences with at least `least` seeds (or with the most seeds that any has, if that is fewer)
    and the seeds that have all of them. If these seeds are too few, as while a study trains, it covers all seeds and
    the differences that all of them have.
    """
    enough = min(least, max((len(gap.values) for gap in gaps), default=0))
    averaged = [gap.values for gap in gaps if gap.values and len(gap.values) >= enough]
    seeds = set.intersection(*map(set, averaged)) if averaged else set()
    if averaged and len(seeds) < enough:
        everyone = set.union(*map(set, averaged))
        averaged = [values for values in averaged if everyone <= values.keys()]
        seeds = everyone if averaged else set()
    means = {seed: math.fsum(values[seed] for values in averaged) / len(averaged) for seed in sorted(seeds)}
    all_seeds = frozenset[int]().union(*(gap.values.keys() | gap.odd | gap.lacking for gap in gaps))
    odd = frozenset[int]().union(*(gap.odd for gap in gaps)) - seeds
    return Gap(means, odd, all_seeds - odd - seeds), len(averaged)


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def _have(seeds: Collection[int]) -> str:
    return "has" if len(seeds) == 1 else "have"
