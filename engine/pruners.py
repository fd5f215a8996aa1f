"""PRUNERS: the pruners that studies may name, and how each makes a mask from trained weights."""

from dataclasses import dataclass
from typing import Literal

# Whether the smallest weights of each layer go, or those of all layers ranked together.
Scope = Literal["layer", "global"]


@dataclass(frozen=True)
class Pruner:
    """How a pruner works.

    score: name in `engine.scores.SCORES`. gradual: prune in rounds, one for each sparsity of the study, and train
    theta_0 * m between them; else prune theta_T once for each sparsity. admm: train with ADMM to the sparsity first,
    and score its weights.
    """

    title: str
    score: str = "magnitude"
    gradual: bool = False
    admm: bool = False


PRUNERS: dict[str, Pruner] = {
    "iterative": Pruner("iterative magnitude", gradual=True),
    "oneshot": Pruner("one-shot magnitude"),
    "admm": Pruner("ADMM", admm=True),
    "random": Pruner("random", score="random"),
}
