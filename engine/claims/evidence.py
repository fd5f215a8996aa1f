"""What runs have measured, arranged so that two of them can be compared seed by seed."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

# By seed.
Values = dict[int, float]


@dataclass(frozen=True)
class Point:
    """One finished training: accuracy in percent, NaN where it diverged; a dense one has no pruner and start dense.

    training: what tells one training from another, such as a fingerprint, so that none is compared with itself. mask:
    the same of the mask that it holds. moved: under ADMM, the fraction of the kept weights that one-shot pruning of
    theta_T would not keep. Each is None where it is not recorded.
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

    level: the ratio that weights which know nothing but the mask have on average, for pairs of a pruned network and a
    dense one; None for other pairs, whose level is p, and where it is not recorded.
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
    """A difference by seed, finite ones alone.

    odd: the seeds left out for a value that is not finite. lacking: those left out for a run that is not there.
    """

    values: Values
    odd: frozenset[int] = frozenset()
    lacking: frozenset[int] = frozenset()

    @property
    def note(self) -> str:
        """In words which seeds are left out; empty where none is."""
        if not self.odd and not self.lacking:
            return ""
        wanted = len(self.values) + len(self.odd) + len(self.lacking)
        notes = [f"{len(self.odd)} of {_seeds(wanted)} {_have(self.odd)} no finite value"] * bool(self.odd)
        notes += [f"{len(self.lacking)} of {_seeds(wanted)} {_have(self.lacking)} not every run"] * bool(self.lacking)
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
        """Add a run; of several of one place and seed, the last counts."""
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
        """Return the seeds whose training is one and the same under two pruners, by itself or by its mask."""
        one, other = (self._training.get((name, rate, sparsity, start), {}) for name in pruners)
        return {seed for seed in one.keys() & other.keys() if _same(one[seed], other[seed])}

    def moved(self, pruner: str, rate: float, sparsity: float) -> Values:
        """Return the fractions of the mask that ADMM chose otherwise than one-shot pruning would."""
        return self._moved.get((pruner, rate, sparsity), {})

    def level(self, pair: str, pruner: str | None, rate: float, sparsity: float, p: float) -> Values:
        """Return the overlap ratios that the mask alone gives a pair, where they are recorded."""
        return self._level.get((pair, pruner, rate, sparsity, p), {})

    def ratio(self, pair: str, pruner: str | None, rate: float, sparsity: float, p: float) -> Values:
        """Return the overlap ratios of a pair."""
        return self._ratio.get((pair, pruner, rate, sparsity, p), {})

    def rates(self) -> list[float]:
        """Return the learning rates, from the lowest."""
        return sorted({rate for _, rate in self._sparsities} | {key[2] for key in self._ratio})

    def pruners(self) -> list[str]:
        """Return the pruners in order of name."""
        return sorted({pruner for pruner, _ in self._sparsities if pruner is not None})

    def sparsities(self, pruner: str, rate: float) -> list[float]:
        """Return the sparsities of a pruner at a learning rate, rising."""
        return sorted(self._sparsities.get((pruner, rate), ()))

    def overlap_places(self, pair: str, rate: float) -> list[tuple[str | None, float, float]]:
        """Return pruner, sparsity and p of all overlaps of a pair at a learning rate."""
        return sorted(
            {(key[1], key[3], key[4]) for key in self._ratio if key[0] == pair and key[2] == rate},
            key=lambda place: (place[0] or "", *place[1:]),
        )


def groups(points: Iterable[Point], overlaps: Iterable[OverlapPoint]) -> list[Group]:
    """Return runs by dataset and network, in order of name."""
    by_place: dict[tuple[str, str], Group] = {}
    runs: list[Point | OverlapPoint] = [*points, *overlaps]
    for point in runs:
        key = (point.dataset, point.network)
        by_place.setdefault(key, Group(*key)).add(point)
    return [by_place[key] for key in sorted(by_place)]


def difference(one: Mapping[int, float], other: Mapping[int, float]) -> Gap:
    """Return one minus the other by seed."""
    both = sorted(one.keys() & other.keys())
    gap = finite({seed: one[seed] - other[seed] for seed in both})
    return Gap(gap.values, gap.odd, frozenset(one.keys() ^ other.keys()))


def finite(values: Mapping[int, float]) -> Gap:
    """Return values as they are, less those that are not finite."""
    kept = {seed: value for seed, value in values.items() if math.isfinite(value)}
    return Gap(kept, frozenset(values.keys() - kept.keys()))


def average(gaps: Sequence[Gap], least: int) -> tuple[Gap, int]:
    """Return for each seed the mean over several differences, and over how many of them.

    Taken are those that least seeds have, or else as many as have any, and of the seeds those with all of them. Where
    these are fewer, as while a study trains, it is the differences that all seeds have.
    """
    several = [gap for gap in gaps if gap.values]
    enough = min(least, max((len(gap.values) for gap in several), default=0))
    taken = [gap.values for gap in several if len(gap.values) >= enough]
    seeds = set.intersection(*map(set, taken)) if taken else set()
    if taken and len(seeds) < enough:
        everyone = set.union(*map(set, taken))
        taken = [values for values in taken if everyone <= values.keys()]
        seeds = everyone if taken else set()
    means = {seed: math.fsum(values[seed] for values in taken) / len(taken) for seed in sorted(seeds)}
    asked = frozenset[int]().union(*(gap.values.keys() | gap.odd | gap.lacking for gap in gaps))
    odd = frozenset[int]().union(*(gap.odd for gap in gaps)) - seeds
    return Gap(means, odd, asked - odd - seeds), len(taken)


def _same(one: tuple[str | None, str | None], other: tuple[str | None, str | None]) -> bool:
    """Return whether two trainings are one, or hold the same mask; what is not recorded is like nothing."""
    return (one[0] is not None and one[0] == other[0]) or (one[1] is not None and one[1] == other[1])


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def _have(seeds: Collection[int]) -> str:
    return "has" if len(seeds) == 1 else "have"
