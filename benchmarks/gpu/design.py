"""How much of the paper's main figure 2 fits into some time: its sparsities and seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

RATES = (0.01, 0.1)
STARTS = ("winning_ticket", "reinit", "finetune")
# The figure's own sparsities in rounds of 15 %; then fewer, a round each: those that the paper's text names, and less.
LADDER: tuple[tuple[tuple[float, ...], float | None], ...] = (
    ((0.15, 0.278, 0.386, 0.478, 0.556, 0.623, 0.679, 0.728, 0.768, 0.803, 0.833, 0.858), 0.15),
    ((0.386, 0.623, 0.803, 0.858), None),
    ((0.623, 0.858), None),
    ((0.803,), None),
)
# With fewer seeds, fewer sparsities are trained; the paper has five.
LEAST_SEEDS, PAPER_SEEDS = 3, 5
# Loading, the first recording of steps, overlaps and saving take a little beside the epochs.
RESERVED = 0.85


@dataclass(frozen=True)
class Speed:
    """Seconds of an epoch of one network alone, and per network where `together` are trained side by side."""

    alone: float
    beside: float
    together: int

    def wave(self, count: int) -> float:
        """Return the seconds of an epoch of some networks: in groups, none of which is faster than one network."""
        groups = [self.together] * (count // self.together) + [count % self.together] * (count % self.together > 0)
        return sum(max(self.alone, group * self.beside) for group in groups)


@dataclass(frozen=True)
class Design:
    """What is trained of the figure: its sparsities, the share that a round removes, and the number of seeds."""

    sparsities: tuple[float, ...]
    round_rate: float | None
    seeds: int

    def seconds(self, speed: Speed, epochs: int) -> float:
        """Return the seconds that its trainings take: the dense ones, then a wave of all starts for each sparsity."""
        dense = len(RATES) * self.seeds
        return epochs * (speed.wave(dense) + len(self.sparsities) * speed.wave(dense * len(STARTS)))

    def to_json(self) -> dict[str, Any]:
        """Return its values."""
        return asdict(self)


def from_json(values: dict[str, Any]) -> Design:
    """Return the design that `to_json` wrote."""
    return Design(tuple(values["sparsities"]), values["round_rate"], values["seeds"])


def fitting(speed: Speed | None, epochs: int, seconds: float) -> Design:
    """Return the largest design that fits into some seconds with at least LEAST_SEEDS seeds, else the smallest.

    The smallest has as many seeds as fit, and at least one; so it has without a measured speed.
    """
    chosen = Design(*LADDER[-1], 1)
    if speed is None:
        return chosen
    for sparsities, rate in LADDER:
        chosen = Design(sparsities, rate, _seeds(sparsities, rate, speed, epochs, RESERVED * seconds))
        if chosen.seeds >= LEAST_SEEDS:
            return chosen
    return chosen


def _seeds(sparsities: Sequence[float], rate: float | None, speed: Speed, epochs: int, seconds: float) -> int:
    seeds = 1
    while seeds < PAPER_SEEDS and Design(tuple(sparsities), rate, seeds + 1).seconds(speed, epochs) <= seconds:
        seeds += 1
    return seeds
