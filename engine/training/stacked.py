"""Small networks of linear layers stacked on a CPU: one batched product replaces a product for each network."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.training.sgd import Training


def can_stack(training: Training) -> bool:
    """Return whether `Stack` can train a network: it must consist of linear layers and ReLUs, on a CPU, in fp32."""
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
    """Trainings of one shape that take each step together; `can_stack` holds for each of them.

    Each product and sum is computed as PyTorch does for one network, so that a training's numbers are bit for bit those
    that it has alone. Each has its own parameters, rate, mask, order, penalty and history.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.trainings = trainings
        names = [name for name, module in trainings[0].network.named_children() if isinstance(module, nn.Linear)]
        values = [training.flat_parameters.split(training.flat_parameters.values) for training in trainings]
        gradients = [training.flat_parameters.split(training.flat_parameters.gradients) for training in trainings]
        # For each layer, these are the weights, the biases and their gradients of all networks.
        self._layers = [
            [[own[f"{name}.{kind}"] for own in owned] for owned in (values, gradients) for kind in ("weight", "bias")]
            for name in names
        ]

    @torch.no_grad()
    def step(self, size: int) -> None:
        """Train each network on its next batch, which holds `size` images."""
        images, labels, places = zip(*(training.next_batch(size) for training in self.trainings), strict=True)
        weights = [torch.stack(layer[0]) for layer in self._layers]
        inputs = self._forward(torch.stack(images).flatten(2), weights)
        outputs = inputs.pop()
        gradient = _loss_gradient(outputs, torch.cat(labels))
        for number in reversed(range(len(weights))):
            _, _, of_weights, of_biases = self._layers[number]
            for own, joint in ((of_weights, gradient.mT @ inputs[number]), (of_biases, gradient.sum(1))):
                for target, source in zip(own, joint, strict=True):
                    target.copy_(source)
            if number:
                gradient = torch.where(inputs[number] <= 0, 0.0, gradient @ weights[number])
        for training, output, place in zip(self.trainings, outputs, places, strict=True):
            training.apply_gradients(output, place)

    @torch.no_grad()
    def evaluate(self) -> None:
        """Run the test images through each network, and compute losses and accuracies of the epoch."""
        weights = [torch.stack(layer[0]) for layer in self._layers]
        begin = 0
        for part in self.trainings[0].test_batches:
            outputs = self._forward(part.expand(len(self.trainings), -1, -1), weights)[-1]
            for training, output in zip(self.trainings, outputs, strict=True):
                training.save_test_outputs(begin, output)
            begin += len(part)
        for training in self.trainings:
            training.compute_scores()

    def _forward(self, images: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return the input of each layer, and then the output of the last, each as (network, image, value)."""
        inputs = [images]
        for number, weight in enumerate(weights, start=1):
            biases = torch.stack(self._layers[number - 1][1])
            output = torch.baddbmm(biases[:, None], inputs[-1], weight.mT)
            inputs.append(output if number == len(weights) else output.relu_())
        return inputs


def _loss_gradient(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of each network's mean loss over its batch by its outputs (network, image, class)."""
    with torch.enable_grad():
        outputs = outputs.detach().requires_grad_()
        loss = F.cross_entropy(outputs.flatten(0, 1), labels, reduction="sum") / outputs.shape[1]
        [gradient] = torch.autograd.grad(loss, outputs)
    return gradient
