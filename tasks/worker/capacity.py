"""How many stages of one shape a process trains side by side: measured on its device, once for each shape."""

import logging

import torch

from engine.capacity import Capacity
from engine.dataset import Dataset
from engine.stages.prepare import how_many
from engine.study.plan import Shape, Stage

log = logging.getLogger(__name__)


class Rooms:
    """The room that one process has. fixed: a number that the user has set, in place of measuring."""

    def __init__(self, device: torch.device, fixed: int | None) -> None:
        self._device = device
        self._fixed = fixed
        self._rooms: dict[Shape, Capacity] = {}

    def of(self, stage: Stage, dataset: Dataset) -> Capacity:
        """Return how many stages of a stage's shape to train at once, and how many fit; at least 1."""
        shape = stage.shape
        if shape not in self._rooms:
            room = Capacity(self._fixed, self._fixed) if self._fixed else how_many(stage, dataset, self._device)
            if room.fastest > 1:
                log.info("up to %d networks like %s are trained side by side here", room.fastest, stage.network)
            self._rooms[shape] = room
        return self._rooms[shape]

    def shrink(self, stage: Stage, ran: int) -> None:
        """Take half as many as ran from now on: memory ran out."""
        fits = max(1, ran // 2)
        room = self._rooms.get(stage.shape, Capacity(fits, fits))
        self._rooms[stage.shape] = Capacity(min(room.fastest, fits), min(room.most, fits))
