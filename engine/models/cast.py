"""Linear layers and convolutions whose weights are cast to bf16 beforehand, those of a whole network at once."""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The names of the parameters that autocast casts in such a layer.
CAST = ("weight", "bias")


class CastAhead(nn.Module):
    """A layer that autocast casts the parameters of, unless `cast` holds them already.

    cast: pairs of a parameter and the same numbers in bf16, for one forward pass. A further pass casts anew, so that
    the gradients of several passes are added up in fp32, as autocast does.
    """

    cast: tuple[tuple[Tensor, Tensor], ...] = ()

    def parameters_for(self, input: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias for a forward pass, cast if autocast would cast them to bf16."""
        own: tuple[Tensor, Tensor | None] = (self._parameters["weight"], self._parameters.get("bias"))  # type: ignore[assignment]
        pairs, self.cast = self.cast, ()
        kind = input.device.type
        if not (pairs and torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16):
            return own
        # Code that calls a layer with other parameters, as `torch.func.functional_call` does, gets these.
        weight, bias = (next((cast for full, cast in pairs if full is tensor), tensor) for tensor in own)
        assert weight is not None
        return weight, bias


class CastConv2d(CastAhead, nn.Conv2d):
    """A convolution whose weights may be cast ahead."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve as `nn.Conv2d` does."""
        return self._conv_forward(input, *self.parameters_for(input))  # type: ignore[no-any-return]


class CastLinear(CastAhead, nn.Linear):
    """A linear layer whose weights may be cast ahead."""

    def forward(self, input: Tensor) -> Tensor:
        """Multiply as `nn.Linear` does."""
        return F.linear(input, *self.parameters_for(input))


def prepare(network: nn.Module) -> list[CastAhead]:
    """Replace plain linear layers and convolutions by those that cast ahead, and return all of these.

    Layers of other classes may read their weights in ways of their own, and stay as they are. So do layers that share a
    parameter, since their gradients must be added up in fp32, and those whose weight is computed from others.
    """
    uses = Counter(id(tensor) for module in network.modules() for tensor in module._parameters.values())
    layers: list[CastAhead] = []
    for module in network.modules():
        tensors = [module._parameters.get(name) for name in CAST]
        if tensors[0] is None or any(tensor is not None and uses[id(tensor)] > 1 for tensor in tensors):
            continue
        if type(module) in (nn.Conv2d, nn.Linear):
            module.__class__ = CastConv2d if type(module) is nn.Conv2d else CastLinear
        if isinstance(module, CastAhead):
            layers.append(module)
    return layers
