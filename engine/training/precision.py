"""The passes of a network in fp32 or under bf16 autocast, with fp32 weights and gradients."""

import torch
from torch import Tensor, nn

from engine.models import cast
from engine.training.flat_parameters import FlatParameters


def forward(network: nn.Module, images: Tensor, precision: str) -> Tensor:
    """Return a network's outputs in fp32."""
    if precision == "fp32":
        return network(images)  # type: ignore[no-any-return]
    # Each weight is cast once per step without a cache too, and cached casts must not outlive a step's recording.
    with torch.autocast(images.device.type, dtype=torch.bfloat16, cache_enabled=False):
        return network(images).float()  # type: ignore[no-any-return]


class Passes:
    """The forward and backward passes of a network whose parameters are flat.

    In bf16 the buffer of all parameters is cast once for each forward pass, and linear layers and convolutions use
    views of the result: the same numbers as a cast for each weight, and its gradient, in fewer operations. A network
    that is prepared so computes the same elsewhere, where its layers cast their own weights.
    """

    def __init__(self, network: nn.Module, flat_parameters: FlatParameters, precision: str) -> None:
        self._network, self._flat, self._precision = network, flat_parameters, precision
        self._parameters = dict(network.named_parameters())
        self._cast: Tensor | None = None
        self._leaves: dict[str, Tensor] = {}
        self._layers: list[tuple[cast.CastAhead, tuple[tuple[Tensor, Tensor], ...]]] = []
        if precision == "bf16":
            self._prepare(cast.prepare(network))

    def _prepare(self, layers: list[cast.CastAhead]) -> None:
        if not layers:
            return
        self._cast = torch.zeros_like(self._flat.values, dtype=torch.bfloat16)
        views = self._flat.split(self._cast)
        names = {id(parameter): name for name, parameter in self._parameters.items()}
        for layer in layers:
            own = [tensor for tensor in map(layer._parameters.get, cast.CAST) if tensor is not None]
            for tensor in own:
                self._leaves[names[id(tensor)]] = views[names[id(tensor)]].detach().requires_grad_(tensor.requires_grad)
            self._layers.append((layer, tuple((tensor, self._leaves[names[id(tensor)]]) for tensor in own)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's outputs in fp32."""
        if self._cast is not None:
            with torch.no_grad():
                self._cast.copy_(self._flat.values)
            for layer, pairs in self._layers:
                layer.cast = pairs
        return forward(self._network, images, self._precision)

    def backward(self, loss: Tensor) -> None:
        """Write the gradient of a loss to the gradients of the flat parameters; 0 where the loss does not depend."""
        own = [name for name, parameter in self._parameters.items() if parameter.requires_grad]
        ahead = [name for name in own if name in self._leaves]
        inputs = [self._parameters[name] for name in own] + [self._leaves[name] for name in ahead]
        found = torch.autograd.grad(loss, inputs, allow_unused=True)
        of_own, of_cast = found[: len(own)], found[len(own) :]
        self._flat.write_gradients(dict(zip(own, of_own, strict=True)), dict(zip(ahead, of_cast, strict=True)))
