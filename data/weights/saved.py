"""The saved weights and mask of a training."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from data.artifacts.store import ArtifactLost, Artifacts
from data.datasets import registry
from data.weights.choice import Training
from engine.errors import UserError
from engine.registry import STARTS

if TYPE_CHECKING:
    from torch import Tensor

    from engine.dataset import Dataset
    from engine.study.plan import Stage

# Which weights of a training: after its last epoch, before its first, and of a dense network also those of epoch k.
Which = Literal["trained", "initial", "rewind"]
WHICH: dict[str, str] = {
    "trained": "after the last epoch",
    "initial": "before the first epoch, and before the mask is applied",
    "rewind": "of a dense network, after epoch k",
}


class WeightsMissing(UserError):
    """A training has no such weights, or the artifact store does not hold them."""


class SavedWeights(NamedTuple):
    """state: parameters and buffers by name. mask: layer name -> bool, True where a weight is kept; dense: empty."""

    state: "dict[str, Tensor]"
    mask: "dict[str, Tensor]"


def load(artifacts: Artifacts, training: Training, which: str = "trained", home: Path | None = None) -> SavedWeights:
    """Return weights of a training, and its mask, on the CPU.

    which: one of WHICH. Trained weights are 0 where the mask is False. home: `Settings.home`, where images are for a
    start that draws weights for their shape; such a start has no saved initial weights. Raises WeightsMissing, and
    ArtifactError while the artifact store does not answer.
    """
    if which not in WHICH:
        raise WeightsMissing(f"{which!r} are no weights of a training; allowed: {', '.join(WHICH)}")
    stage = training.stage
    if which == "rewind" and stage.kind != "pretrain":
        raise WeightsMissing(f"only dense networks have rewind weights, given {training}; allowed: trained, initial")
    _require_finished(training)
    try:
        if which == "initial" and stage.kind == "retrain":
            state = _starting(stage, artifacts, home)
        else:
            state = artifacts.load(training.fingerprint, which)
        return SavedWeights(state, artifacts.load(training.fingerprint, "mask") if stage.kind == "retrain" else {})
    except ArtifactLost as lost:
        if artifacts.exists(lost.fingerprint, lost.name):
            # It is damaged; the message says how to train it again.
            raise
        raise WeightsMissing(
            f"no {lost.name} weights of stage {lost.fingerprint} at {artifacts.url}. If other machines trained it, set "
            "TICKETSCOPE_ARTIFACTS to the store that their workers use; if it was imported without weights, import a "
            f"bundle that has them; if they are gone, remove {artifacts.url}/results/{lost.fingerprint}.json and "
            "launch the study again, which trains that stage anew"
        ) from lost


def _require_finished(training: Training) -> None:
    if training.diverged is not None:
        raise WeightsMissing(
            f"{training} has no weights, because its training diverged (epoch {training.diverged}); choose another "
            "learning rate or seed"
        )
    if training.state != "done":
        raise WeightsMissing(f"{training} is {training.state}, and has weights once it is done")


def _starting(stage: "Stage", artifacts: Artifacts, home: Path | None) -> "dict[str, Tensor]":
    """Return the weights that a retraining starts from, before its mask is applied."""
    from engine.stages import starts

    start = starts.required(stage.start, stage)
    if start not in STARTS:
        raise WeightsMissing(f"this installation has no start {start!r}, so its initial weights cannot be made here")
    try:
        return starts.starting(stage, _dataset(stage, home), artifacts)
    except registry.DatasetError as error:
        raise WeightsMissing(
            f"the initial weights of {start} are made for images that are not here: {error}"
        ) from error


def _dataset(stage: "Stage", home: Path | None) -> "Dataset":
    """Return the images that a start may use; those of the engine use at most their shape, which is known at once."""
    import torch

    from data.datasets.loading import load_images
    from engine.dataset import Dataset

    place = home or Path()
    if not STARTS[str(stage.start)].function.startswith("engine.stages.starts:"):
        return load_images(stage.images, place)
    if stage.start != "reinit":
        # The weights come from the store alone, so that they can be read where the images are not.
        empty = torch.empty(0, 1, 1, 1, dtype=torch.uint8)
        return Dataset(empty, empty, empty, empty, ())
    shape = registry.shape(stage.images.name, place)
    images = torch.empty(0, shape.image_size, shape.image_size, shape.channels, dtype=torch.uint8)
    labels = torch.empty(0, dtype=torch.int64)
    return Dataset(images, labels, images, labels, tuple(map(str, range(shape.classes))))
