"""Weights and mask of one training, as Ticketscope exported them; config.json says of which, and on what images.

state, masks = load()
module.load_state_dict(state)
prune(module, masks)    # optional: torch.nn.utils.prune keeps the mask while you train the module further
"""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.prune import custom_from_mask


def load(folder: Path = Path(__file__).parent) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return parameters and buffers by name, and the masks by the names of their weights; dense networks have none."""
    mask = folder / "mask.safetensors"
    return load_file(folder / "weights.safetensors"), load_file(mask) if mask.exists() else {}


def prune(module: nn.Module, masks: dict[str, Tensor]) -> None:
    """Prune the weights of a module by their masks."""
    for name, mask in masks.items():
        layer, _, weight = name.rpartition(".")
        custom_from_mask(module.get_submodule(layer), weight, mask)
