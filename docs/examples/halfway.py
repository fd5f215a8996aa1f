"""A start halfway between the initial and the trained weights."""

from torch import Tensor

from engine.dataset import Dataset
from engine.registry import STARTS, Start
from engine.stages.weights import Weights
from engine.study.plan import Stage


def halfway(stage: Stage, dataset: Dataset, weights: Weights) -> dict[str, Tensor]:
    """Return the mean of theta_0 and theta_T; the mask is applied afterwards."""
    initial, trained = (weights.load(str(stage.root), name) for name in ("initial", "trained"))
    return {name: (initial[name] + trained[name]) / 2 for name in initial}


STARTS["halfway"] = Start(
    "halfway",
    halfway,
    symbol="(θ₀+θ_T)/2⊙m",
    about="The mean of the initial and the pretrained weights, under the mask.",
    origin="an example in docs/extending.md",
)
