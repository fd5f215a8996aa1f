"""How many stages of a shape a process trains side by side, measured once per shape on its device."""

import logging

import torch

from engine.capacity import Capacity
from engine.dataset import Dataset
from engine.stages.prepare import how_many
from engine.study.plan import Stage, StageShape

log = logging.getLogger(__name__)


class Capacities:
    """The capacity of one process for each shape. fixed: the number from the settings, None to measure it."""

    def __init__(self, device: torch.device, fixed: int | None) -> None:
        self._device = device
        self._fixed = fixed
        self._known: dict[StageShape, Capacity] = {}

    def of(self, stage: Stage, dataset: Dataset) -> Capacity:
        """Return how many stages of a stage's shape are fastest side by side, and how many fit; at least 1."""
        shape = stage.shape
        if shape not in self._known:
            capacity = Capacity(self._fixed, self._fixed) if self._fixed else how_many(stage, dataset, self._device)
            if capacity.fastest > 1:
                log.info("up to %d networks like %s are trained side by side here", capacity.fastest, stage.network)
            self._known[shape] = capacity
        return self._known[shape]

    def shrink(self, stage: Stage, count: int) -> None:
        """Halve the capacity for a stage's shape, after memory ran out with `count` stages side by side."""
        fits = max(1, count // 2)
        capacity = self._known.get(stage.shape, Capacity(fits, fits))
        self._known[stage.shape] = Capacity(min(capacity.fastest, fits), min(capacity.most, fits))
