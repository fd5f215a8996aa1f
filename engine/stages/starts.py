"""The weights that trainings start from."""

from pkgutil import resolve_name
from typing import TypeVar

from torch import Tensor, nn

from engine.dataset import Dataset
from engine.models.networks import build
from engine.registry import STARTS
from engine.seeds import global_seed
from engine.stages.weights import Weights
from engine.study.plan import Stage

State = dict[str, Tensor]
T = TypeVar("T")


def winning_ticket(stage: Stage, dataset: Dataset, weights: Weights) -> State:
    """Return theta_0, the initial weights of the pretraining (Frankle & Carbin 2019)."""
    del dataset
    return weights.load(required(stage.root, stage), "initial")


def reinit(stage: Stage, dataset: Dataset, weights: Weights) -> State:
    """Return theta_0', weights from the initialiser that are independent of theta_0."""
    del weights
    return state(draw(stage, dataset, "reinit"))


def rewind(stage: Stage, dataset: Dataset, weights: Weights) -> State:
    """Return theta_k, the weights after k epochs of pretraining (appendix G)."""
    del dataset
    return weights.load(required(stage.root, stage), "rewind")


def finetune(stage: Stage, dataset: Dataset, weights: Weights) -> State:
    """Return theta_T, the pretrained weights (section 3, "pruning & fine-tuning")."""
    del dataset
    return weights.load(required(stage.root, stage), "trained")


def starting(stage: Stage, dataset: Dataset, weights: Weights) -> State:
    """Return the weights that a retraining starts from, before its mask is applied."""
    start = required(stage.start, stage)
    parameters: State = resolve_name(STARTS[start].function)(stage, dataset, weights)
    return parameters


def draw(stage: Stage, dataset: Dataset, purpose: str) -> nn.Module:
    """Return the stage's network with weights drawn from its seed, independently for each purpose."""
    with global_seed(stage.seed, "weights", purpose):
        return build(stage.network, dataset.channels, dataset.image_size, len(dataset.classes))


def initial(stage: Stage, dataset: Dataset) -> nn.Module:
    """Return the network with theta_0, which is the same for every learning rate."""
    return draw(stage, dataset, "initial")


def state(network: nn.Module) -> State:
    """Return copies of a network's parameters and buffers by name."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def required(value: T | None, stage: Stage) -> T:
    """Return a setting that a stage of this kind must have; ValueError for None."""
    if value is None:
        raise ValueError(f"stage {stage.fingerprint} ({stage.kind}) lacks a setting that its kind needs")
    return value
