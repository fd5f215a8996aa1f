"""How many stages of one shape a worker trains side by side: measured on its device, once for each shape."""

import logging

import torch

from engine.dataset import Dataset
from engine.plan import Shape, Stage
from engine.preparing import how_many

log = logging.getLogger(__name__)


class Bundles:
    """The numbers of one worker process. fixed: a number that the user has set, in place of measuring."""

    def __init__(self, device: torch.device, fixed: int | None) -> None:
        self._device = device
        self._fixed = fixed
        self._sizes: dict[Shape, int] = {}

    def size(self, stage: Stage, dataset: Dataset) -> int:
        """Return how many stages of a stage's shape to train at once, at least 1."""
        shape = stage.shape
        if shape not in self._sizes:
            size = self._fixed or how_many(stage, dataset, self._device)
            if size > 1:
                log.info("up to %d networks like %s are trained side by side here", size, stage.network)
            self._sizes[shape] = size
        return self._sizes[shape]

    def shrink(self, stage: Stage) -> None:
        """Take half as many from now on: memory ran out."""
        self._sizes[stage.shape] = max(1, self._sizes.get(stage.shape, 1) // 2)
