"""A network's parameters in one buffer, so that an optimiser step is a few operations for any number of layers."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class FlatParameters:
    """All parameters, gradients and momenta of a network, each in one flat float buffer.

    The network's own parameters become views of their buffer; four-dimensional kernels are in channels-last order, in
    which convolutions run fastest on CPU and GPU.
    """

    def __init__(self, network: nn.Module) -> None:
        parameters = list(network.named_parameters())
        total = sum(parameter.numel() for _, parameter in parameters)
        device = parameters[0][1].device
        self.values, self.gradients, self.momenta = (torch.zeros(total, device=device) for _ in range(3))
        self._movement: Tensor | None = None
        self._shapes: dict[str, tuple[int, torch.Size]] = {}
        begin = 0
        for name, parameter in parameters:
            self._shapes[name] = (begin, parameter.shape)
            view = self._view(self.values, name)
            view.copy_(parameter.detach())
            parameter.data = view
            begin += parameter.numel()
        self._gradients = self.split(self.gradients)

    def _view(self, buffer: Tensor, name: str) -> Tensor:
        begin, shape = self._shapes[name]
        part = buffer[begin : begin + shape.numel()]
        if len(shape) == 4:
            return part.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
        return part.view(shape)

    @torch.no_grad()
    def write_gradients(self, own: Mapping[str, Tensor | None], cast: Mapping[str, Tensor | None]) -> None:
        """Set the gradients: each the sum of those of the parameter itself and of its cast, or 0 where both are None.

        own, cast: parameter name -> gradient, in any floating type. One operation copies all of a type.
        """
        groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        unused: list[Tensor] = []
        for name, target in self._gradients.items():
            source = own.get(name) if cast.get(name) is None else cast[name]
            if source is None:
                unused.append(target)
            elif _same_order(source, target):
                targets, sources = groups.setdefault(source.dtype, ([], []))
                targets.append(target)
                # An axis of length 1 may have another stride, with which the copies would be separate operations.
                sources.append(source.as_strided(target.shape, target.stride()))
            else:
                target.copy_(source)
        for targets, sources in groups.values():
            torch._foreach_copy_(targets, sources)
        if unused:
            torch._foreach_zero_(unused)
        for name, source in own.items():
            if source is not None and cast.get(name) is not None:
                self._gradients[name].add_(source)

    def sum_movement(self) -> None:
        """Sum up from now on, in `add_movement`, the movement of each weight."""
        self._movement = torch.zeros_like(self.values)

    def add_movement(self) -> None:
        """Add -w * dL/dw of each weight to its movement (Sanh et al. 2020), if that is summed up."""
        if self._movement is not None:
            self._movement.addcmul_(self.values, self.gradients, value=-1)

    def movement_of(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Return copies of the movement of some parameters, on the CPU; ValueError where it is not summed up."""
        if self._movement is None:
            raise ValueError("the movement of these weights is not summed up")
        parts = self.split(self._movement)
        return {name: parts[name].to("cpu", copy=True).contiguous() for name in names}

    @property
    def changing(self) -> tuple[Tensor, ...]:
        """The buffers that a step changes and that the next step reads."""
        return (self.values, self.momenta, *(() if self._movement is None else (self._movement,)))

    def state(self) -> dict[str, Tensor]:
        """Return copies of momenta and movement, on the CPU."""
        moved = {} if self._movement is None else {"movement": self._movement}
        return {name: tensor.to("cpu", copy=True) for name, tensor in {"momenta": self.momenta, **moved}.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        if "momenta" in state:
            self.momenta.copy_(state["momenta"])
        if self._movement is not None:
            self._movement.copy_(state["movement"])

    @torch.no_grad()
    def descend(self, rate: Tensor, momentum: float, weight_decay: float) -> None:
        """Take a step of SGD down the gradients, as one fused kernel."""
        # The class torch.optim.SGD imports PyTorch's compiler, which takes two seconds.
        sgd(
            [self.values],
            [self.gradients],
            [self.momenta],
            fused=True,
            weight_decay=weight_decay,
            momentum=momentum,
            lr=rate,  # type: ignore[arg-type]
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def split(self, buffer: Tensor) -> dict[str, Tensor]:
        """Return views of a buffer of this layout: parameter name -> tensor of the parameter's shape."""
        return {name: self._view(buffer, name) for name in self._shapes}

    def join(self, parts: Mapping[str, Tensor], fill: float) -> Tensor:
        """Return a buffer with each part at its parameter's place and `fill` everywhere else."""
        buffer = torch.full_like(self.values, fill)
        for name, part in parts.items():
            self._view(buffer, name).copy_(part)
        return buffer


def _same_order(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors of one shape have their values in the same order in memory."""
    return all(size == 1 or i == j for size, i, j in zip(a.shape, a.stride(), b.stride(), strict=True))
