"""Training: SGD under a fixed mask, an epoch at a time, resumable after each."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.admm import AdmmPenalty
from engine.augment import DeviceData, batches
from engine.flat import FlatParameters
from engine.results import Epoch
from engine.seeds import global_seed
from engine.spec import Recipe

# Images per forward pass of the evaluation: large enough to fill a core, small enough for any memory.
EVALUATION_BATCH = 500


class Diverged(ValueError):
    """A loss that is no longer a finite number; training the same settings again would not help."""


@dataclass(frozen=True)
class Schedule:
    """What a training runs: its recipe, initial learning rate, number of epochs, and the stream of its data order."""

    recipe: Recipe
    learning_rate: float
    epochs: int
    seed: int
    purpose: str

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.recipe.learning_rate(self.learning_rate, epoch, self.epochs)


class Training:
    """One network in training.

    network: with its starting weights, on the data's device. mask: prunable weight -> bool; where False the weight is
    0.0 from the first step to the last, its gradient is dropped, and momentum never revives it.
    """

    def __init__(self, network: nn.Module, data: DeviceData, schedule: Schedule, mask: Mapping[str, Tensor]) -> None:
        self.schedule = schedule
        self.history: list[Epoch] = []
        self.penalty: AdmmPenalty | None = None
        self.network = network
        self._data = data
        self.flat = FlatParameters(network)
        self._mask = self.flat.join(mask, fill=1.0) if mask else None
        if self._mask is not None:
            # Not a product: a weight that is infinite or not a number must become 0 too.
            self.flat.values.masked_fill_(self._mask == 0, 0.0)
        # One parameter over the whole buffer: a step of the optimiser is one fused kernel, not one for each layer.
        self._parameter = nn.Parameter(self.flat.values)
        self._parameter.grad = self.flat.gradients
        self._optimiser = torch.optim.SGD(
            [self._parameter],
            lr=schedule.learning_rate,
            momentum=schedule.recipe.momentum,
            weight_decay=schedule.recipe.weight_decay,
            fused=True,
        )

    @property
    def done(self) -> bool:
        """Whether the last epoch is trained."""
        return len(self.history) >= self.schedule.epochs

    def run_epoch(self) -> Epoch:
        """Train one epoch, evaluate, and return both; Diverged when a loss is not finite."""
        begin = time.perf_counter()
        epoch = len(self.history)
        learning_rate = self.schedule.rate(epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        if self.penalty is not None:
            self.penalty.follow(learning_rate)
        self.network.train()
        outputs: list[Tensor] = []
        labels: list[Tensor] = []
        schedule = self.schedule
        with global_seed(schedule.seed, schedule.purpose, "noise", epoch):
            for images, targets in batches(
                self._data, schedule.recipe.batch_size, schedule.seed, schedule.purpose, epoch
            ):
                outputs.append(self._step(images, targets))
                labels.append(targets)
        # Losses and hits are counted once an epoch, from the outputs kept: no step waits for a number.
        train_loss, train_accuracy = _score(torch.cat(outputs), torch.cat(labels))
        test_loss, test_accuracy = self.evaluate()
        if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
            raise Diverged(
                f"the loss is no longer finite after epoch {epoch + 1} of {schedule.epochs} at learning rate "
                f"{learning_rate:g}; use a lower learning rate"
            )
        if self.penalty is not None:
            self.penalty.end_epoch(epoch + 1)
        row = Epoch(
            epoch + 1, learning_rate, train_loss, train_accuracy, test_loss, test_accuracy, time.perf_counter() - begin
        )
        self.history.append(row)
        return row

    def _forward(self, images: Tensor) -> Tensor:
        if self.schedule.recipe.precision == "bf16":
            with torch.autocast(self._data.device.type, dtype=torch.bfloat16):
                return self.network(images).float()  # type: ignore[no-any-return]
        return self.network(images)  # type: ignore[no-any-return]

    def _step(self, images: Tensor, targets: Tensor) -> Tensor:
        output = self._forward(images)
        F.cross_entropy(output, targets).backward()
        if self.penalty is not None:
            self.penalty.add_gradient()
        if self._mask is not None:
            self.flat.gradients.mul_(self._mask)
        self._optimiser.step()
        self.flat.gradients.zero_()
        return output.detach()

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        """Return mean test loss in nats and test accuracy in percent."""
        self.network.eval()
        return _score(
            torch.cat([self._forward(part) for part in self._data.test.split(EVALUATION_BATCH)]),
            self._data.test_labels,
        )

    def weights(self) -> dict[str, Tensor]:
        """Return copies of all parameters and buffers, on the CPU."""
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in self.network.state_dict().items()
        }

    def state(self) -> dict[str, Tensor]:
        """Return all that resuming needs: weights, momenta, history and ADMM's variables.

        Data order, augmentation and noise are drawn anew each epoch from the study's seed; the epoch stands for them.
        """
        buffer = self._optimiser.state[self._parameter].get("momentum_buffer")
        return {
            **{f"weights/{name}": tensor for name, tensor in self.weights().items()},
            **({"momenta": buffer.detach().cpu()} if buffer is not None else {}),
            "history": torch.tensor([astuple(row) for row in self.history], dtype=torch.float64).reshape(-1, 7),
            **(self.penalty.state() if self.penalty is not None else {}),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        own = self.network.state_dict()
        for name, tensor in own.items():
            tensor.copy_(state[f"weights/{name}"])
        if "momenta" in state:
            self._optimiser.state[self._parameter]["momentum_buffer"] = state["momenta"].to(self._data.device)
        self.history = [Epoch(int(row[0]), *row[1:]) for row in state["history"].tolist()]
        if self.penalty is not None:
            self.penalty.load(state)


def train(trainings: Sequence[Training], after_epoch: Callable[[Training, Epoch], bool]) -> None:
    """Train networks to their last epochs, an epoch of each in turn.

    after_epoch is called with the training and its new epoch; when it returns False that training stops there.
    """
    going = [training for training in trainings if not training.done]
    while going:
        going = [training for training in going if after_epoch(training, training.run_epoch()) and not training.done]


def _score(outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    loss = F.cross_entropy(outputs, labels)
    hits = (outputs.argmax(1) == labels).float().mean()
    return float(loss), 100 * float(hits)
