"""Starting weights: the initial draw, its independent second, and what the four starts take."""

from torch import Tensor, nn

from engine.dataset import Dataset
from engine.networks import build
from engine.plan import Stage
from engine.seeds import global_seed

# The file of the pretraining that each start takes its weights from; reinit is drawn instead (appendix A and G).
SOURCES = {"winning_ticket": "initial", "rewind": "rewind", "finetune": "trained"}


def draw(stage: Stage, dataset: Dataset, purpose: str) -> nn.Module:
    """Return the stage's network with weights drawn from its seed; one purpose is independent of the other."""
    with global_seed(stage.seed, "weights", purpose):
        return build(stage.network, dataset.channels, dataset.image_size, len(dataset.classes))


def initial(stage: Stage, dataset: Dataset) -> nn.Module:
    """Return the network at theta_0, the same for every learning rate."""
    return draw(stage, dataset, "initial")


def reinit(stage: Stage, dataset: Dataset) -> nn.Module:
    """Return the network at theta_0', a draw independent of theta_0."""
    return draw(stage, dataset, "reinit")


def state(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's parameters and buffers by name."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
