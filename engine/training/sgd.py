"""Training by SGD under a fixed mask, epoch by epoch, resumable after each."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import astuple
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models import conv
from engine.seeds import global_seed
from engine.study.recipe import Schedule
from engine.study.results import Epoch
from engine.training.admm import AdmmPenalty
from engine.training.augment import DeviceData, Feed
from engine.training.cuda_graphs import Recordings, Work
from engine.training.flat_parameters import FlatParameters
from engine.training.precision import Passes
from engine.training.streams import lent

# The key of the evaluation among the recorded works; the key of a step is its number of images.
EVALUATION = "evaluation"


class Diverged(ValueError):
    """The loss is no longer a finite number; training the same settings again would not help."""


class Training:
    """One network in training.

    network: with its starting weights, on the data's device. mask: prunable weight -> bool; where False the weight is
    0.0 from the first step to the last, because its gradient is set to 0. On a GPU each training has its own stream,
    and its steps are CUDA graphs unless graphs is False, which changes no number. layers_for: the device whose
    convolutions the network gets if not the data's, so that a CPU takes the steps of a GPU.

    `run_epoch` trains an epoch: `begin_epoch`, a `step` for each of `sizes`, `queue_evaluation`, `draw_ahead`, and
    `end_epoch`, which alone waits for the device, so that several trainings can share it
    (`engine.training.concurrent`). Call `close` after the last epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        data: DeviceData,
        schedule: Schedule,
        mask: Mapping[str, Tensor],
        graphs: bool = True,
        layers_for: torch.device | None = None,
    ) -> None:
        self.schedule = schedule
        self.history: list[Epoch] = []
        self.penalty: AdmmPenalty | None = None
        self.network = network
        conv.prepare(network, schedule.recipe.precision, layers_for or data.device)
        self._data = data
        self.test_images = data.test_for(network)
        self._feed = Feed(data, schedule.recipe.batch_size)
        self.flat_parameters = FlatParameters(network)
        self._passes = Passes(network, self.flat_parameters, schedule.recipe.precision)
        self._mask = self.flat_parameters.join(mask, fill=1.0) if mask else None
        if self._mask is not None:
            # A product with the mask would not turn infinity and NaN into 0.
            self.flat_parameters.values.masked_fill_(self._mask == 0, 0.0)
        self._rate = torch.tensor(schedule.learning_rate, device=data.device)
        self._outputs = torch.zeros(sum(self._feed.sizes), data.classes, device=data.device)
        self._test_outputs = torch.zeros(len(data.test), data.classes, device=data.device)
        # The rows are the training batches of an epoch and the test images, the columns loss and accuracy (0 to 1).
        self._scores = torch.zeros(2, 2, device=data.device)
        self._stream, self._return_stream = lent(data.device, self)
        self._graphs = graphs and self.concurrent
        self._recorded = Recordings(data.device)

    @property
    def device(self) -> torch.device:
        """The device that it trains on."""
        return self._data.device

    @property
    def done(self) -> bool:
        """Whether the last epoch is trained."""
        return len(self.history) >= self.schedule.epochs

    @property
    def concurrent(self) -> bool:
        """Whether the device can run its steps and those of another training concurrently."""
        return self._stream is not None

    @property
    def not_recorded(self) -> str | None:
        """Why some of its work is not recorded as a CUDA graph, although it should be; None if all is."""
        return self._recorded.failure

    @property
    def is_recorded(self) -> bool:
        """Whether no step or evaluation needs to be recorded any more."""
        return not self._graphs or EVALUATION in self._recorded

    @property
    def sizes(self) -> tuple[int, ...]:
        """The images in each step of an epoch."""
        return self._feed.sizes

    @property
    def test_batches(self) -> tuple[Tensor, ...]:
        """The test images in the parts in which they are evaluated."""
        return torch.split(self.test_images, self._data.evaluation_batch)

    def run_epoch(self) -> Epoch:
        """Train one epoch, evaluate the network, and return the epoch; Diverged when a loss is not finite."""
        begin = time.perf_counter()
        schedule = self.schedule
        with global_seed(schedule.seed, schedule.purpose, "noise", len(self.history)):
            self.begin_epoch()
            for size in self.sizes:
                self.step(size)
        self.queue_evaluation()
        self.draw_ahead()
        self.wait()
        return self.end_epoch(time.perf_counter() - begin)

    def begin_epoch(self) -> None:
        """Set the learning rate, and draw the epoch's order and augmentation."""
        epoch, schedule = len(self.history), self.schedule
        rate = schedule.rate(epoch)
        if self.penalty is not None:
            self.penalty.follow(rate)
        if self._stream is not None:
            # Tensors that were made or loaded on the default stream must be complete.
            self._stream.wait_stream(torch.cuda.current_stream(self._data.device))
        with self._on_stream():
            self._rate.fill_(rate)
            self._feed.draw(schedule.seed, schedule.purpose, epoch)
        self.network.train()

    def step(self, size: int) -> None:
        """Train on the next batch, which holds `size` images."""
        with self._on_stream():
            self._do(size, partial(self._train_on, size))

    def queue_evaluation(self) -> None:
        """Run the test images through the network, and compute losses and accuracies of the epoch."""
        self.network.eval()
        with self._on_stream():
            self._do(EVALUATION, self._evaluate)

    def draw_ahead(self) -> None:
        """Draw the next epoch's order and augmentation, if there is one, while the device works on this epoch."""
        epoch = len(self.history) + 1
        if epoch < self.schedule.epochs:
            self._feed.draw_ahead(self.schedule.seed, self.schedule.purpose, epoch)

    def wait(self) -> None:
        """Wait until the device has done all work of this training."""
        if self._stream is not None:
            self._stream.synchronize()

    def end_epoch(self, seconds: float) -> Epoch:
        """Return the epoch, which took `seconds`; Diverged when a loss is not finite."""
        epoch = len(self.history)
        (train_loss, train_accuracy), (test_loss, test_accuracy) = self._scores.tolist()
        rate = self.schedule.rate(epoch)
        if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
            raise Diverged(
                f"the loss is no longer finite after epoch {epoch + 1} of {self.schedule.epochs} at learning rate "
                f"{rate:g}; use a lower learning rate"
            )
        if self.penalty is not None:
            self.penalty.end_epoch(epoch + 1)
        row = Epoch(epoch + 1, rate, train_loss, 100 * train_accuracy, test_loss, 100 * test_accuracy, seconds)
        self.history.append(row)
        return row

    def accuracy_with(self, weights: Mapping[str, Tensor]) -> float:
        """Return the test accuracy, in percent, of other weights and buffers, which replace the network's own."""
        for name, tensor in self.network.state_dict().items():
            tensor.copy_(weights[name])
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._data.device))
        self.queue_evaluation()
        self.wait()
        return 100 * float(self._scores[1, 1])

    def close(self) -> None:
        """Free the CUDA graphs and the stream; what is computed later takes neither."""
        self.wait()
        self._graphs, self._stream = False, None
        self._recorded.clear()
        self._return_stream()

    def weights(self) -> dict[str, Tensor]:
        """Return copies of all parameters and buffers, on the CPU."""
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in self.network.state_dict().items()
        }

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that resuming needs: weights, momenta, movement, history and ADMM's variables.

        Data order, augmentation and noise are drawn anew each epoch from the study's seed, so no generator is saved.
        """
        return {
            **{f"weights/{name}": tensor for name, tensor in self.weights().items()},
            **self.flat_parameters.state(),
            "history": torch.tensor([astuple(row) for row in self.history], dtype=torch.float64).reshape(-1, 7),
            **(self.penalty.state() if self.penalty is not None else {}),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        for name, tensor in self.network.state_dict().items():
            tensor.copy_(state[f"weights/{name}"])
        self.flat_parameters.load(state)
        self.history = [Epoch(int(row[0]), *row[1:]) for row in state["history"].tolist()]
        if self.penalty is not None:
            self.penalty.load(state)

    def record(self) -> None:
        """Record the steps of an epoch and the evaluation before they are first needed, on a device that can."""
        with self._on_stream():
            self.network.train()
            for size in dict.fromkeys(self.sizes):
                self._recorded.add(size, partial(self._train_on, size), self._undone)
            self.network.eval()
            self._recorded.add(EVALUATION, self._evaluate, self._undone)
            self.network.train()

    def _do(self, name: str | int, work: Work) -> None:
        if not self._graphs:
            work()
            return
        if name not in self._recorded:
            self._recorded.add(name, work, self._undone)
        self._recorded[name]()

    def _train_on(self, size: int) -> None:
        images, targets, places = self.next_batch(size)
        output = self._passes.forward(images)
        self._passes.backward(F.cross_entropy(output, targets))
        self.apply_gradients(output.detach(), places)

    def next_batch(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next batch, see `engine.training.augment.Feed.next`; each batch needs an `apply_gradients`."""
        return self._feed.next(size)

    def apply_gradients(self, output: Tensor, places: Tensor) -> None:
        """Take a step down the gradients, and save the batch's output for `compute_scores`."""
        # This is the gradient of the loss alone, and of all weights: pruned ones are 0 and do not move.
        self.flat_parameters.add_movement()
        if self.penalty is not None:
            self.penalty.add_gradient()
        if self._mask is not None:
            self.flat_parameters.gradients.mul_(self._mask)
        recipe = self.schedule.recipe
        self.flat_parameters.descend(self._rate, recipe.momentum, recipe.weight_decay)
        self._outputs.index_copy_(0, places, output)

    def save_test_outputs(self, begin: int, outputs: Tensor) -> None:
        """Save the outputs of consecutive test images, from position begin on, for `compute_scores`."""
        self._test_outputs[begin : begin + len(outputs)] = outputs

    @torch.no_grad()
    def compute_scores(self) -> None:
        """Compute losses and accuracies from the saved outputs, once per epoch, so that no step waits for a number."""
        _score(self._outputs, self._feed.labels, into=self._scores[0])
        _score(self._test_outputs, self._data.test_labels, into=self._scores[1])

    @torch.no_grad()
    def _evaluate(self) -> None:
        begin = 0
        for part in self.test_batches:
            self.save_test_outputs(begin, self._passes.forward(part))
            begin += len(part)
        self.compute_scores()

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Restore, at the end of the block, all that steps change."""
        flat = self.flat_parameters
        changed = (*flat.changing, self._feed.begin, self._outputs, *self.network.buffers())
        before = [tensor.clone() for tensor in changed]
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, old in zip(changed, before, strict=True):
                    tensor.copy_(old)

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


def _score(outputs: Tensor, labels: Tensor, into: Tensor) -> None:
    into[0] = F.cross_entropy(outputs, labels)
    into[1] = (outputs.argmax(1) == labels).float().mean()
