"""Small networks of linear layers trained as one on a CPU: one batched product where each would take its own."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.training.sgd import EVALUATION_BATCH, Training


def can_stack(training: Training) -> bool:
    """Return whether `Stack` knows a training's network: linear layers with ReLU between them, on a CPU, in fp32."""
    if training.device.type != "cpu" or training.schedule.recipe.precision != "fp32":
        return False
    modules = list(training.network.children())
    kinds: list[type[nn.Module]] = [nn.Linear if place % 2 else nn.ReLU for place in range(len(modules))]
    kinds[:1] = [nn.Flatten]
    return (
        isinstance(training.network, nn.Sequential)
        and len(modules) % 2 == 0
        and [type(module) for module in modules] == kinds
        and all(module.bias is not None for module in modules[1::2])
    )


class Stack:
    """Trainings of one shape, each of which `can_stack`, a step of all at once.

    Each product and sum is taken as PyTorch takes it for one network, so that a training gives the numbers that it
    gives alone, bit for bit. Each keeps its own parameters, rate, mask, order, penalty and history.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.trainings = trainings
        names = [name for name, module in trainings[0].network.named_children() if isinstance(module, nn.Linear)]
        values = [training.flat_parameters.split(training.flat_parameters.values) for training in trainings]
        gradients = [training.flat_parameters.split(training.flat_parameters.gradients) for training in trainings]
        # For each layer: the weights, the biases and their gradients of every network.
        self._layers = [
            [[own[f"{name}.{kind}"] for own in owned] for owned in (values, gradients) for kind in ("weight", "bias")]
            for name in names
        ]

    @torch.no_grad()
    def step(self, size: int) -> None:
        """Train each network on its next batch, which holds `size` images."""
        images, labels, places = zip(*(training.next_batch(size) for training in self.trainings), strict=True)
        weights = [torch.stack(layer[0]) for layer in self._layers]
        taken = self._forward(torch.stack(images).flatten(2), weights)
        outputs = taken.pop()
        gradient = _loss_gradient(outputs, torch.cat(labels))
        for number in reversed(range(len(weights))):
            _, _, into_weights, into_biases = self._layers[number]
            for into, found in ((into_weights, gradient.mT @ taken[number]), (into_biases, gradient.sum(1))):
                for own, one in zip(into, found, strict=True):
                    own.copy_(one)
            if number:
                gradient = torch.where(taken[number] <= 0, 0.0, gradient @ weights[number])
        for training, output, place in zip(self.trainings, outputs, places, strict=True):
            training.apply_gradients(output, place)

    @torch.no_grad()
    def evaluate(self) -> None:
        """Run the test images through each network, and count losses and hits of the epoch."""
        weights = [torch.stack(layer[0]) for layer in self._layers]
        begin = 0
        for part in self.trainings[0].test_images.split(EVALUATION_BATCH):
            outputs = self._forward(part.expand(len(self.trainings), -1, -1), weights)[-1]
            for training, output in zip(self.trainings, outputs, strict=True):
                training.keep_test_outputs(begin, output)
            begin += len(part)
        for training in self.trainings:
            training.count()

    def _forward(self, images: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return the input of each layer, and at the end the output of the last, as (network, image, value)."""
        taken = [images]
        for number, weight in enumerate(weights, start=1):
            biases = torch.stack(self._layers[number - 1][1])
            output = torch.baddbmm(biases[:, None], taken[-1], weight.mT)
            taken.append(output if number == len(weights) else output.relu_())
        return taken


def _loss_gradient(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of each network's mean loss over its batch by its outputs (network, image, class)."""
    with torch.enable_grad():
        outputs = outputs.detach().requires_grad_()
        loss = F.cross_entropy(outputs.flatten(0, 1), labels, reduction="sum") / outputs.shape[1]
        [gradient] = torch.autograd.grad(loss, outputs)
    return gradient
