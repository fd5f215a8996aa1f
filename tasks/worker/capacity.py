"""How many stages of a shape a process trains side by side, measured once per shape and device and then remembered."""

import hashlib
import json
import logging
import platform
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from data.atomic import write_whole
from engine.dataset import Dataset
from engine.stages.prepare import how_many, is_random
from engine.study.plan import ENGINE_VERSION, Stage
from engine.training.capacity import STREAMS, Capacity
from engine.training.concurrent import fitting

# A number that an older way of measuring gave is measured anew.
VERSION = 1
# So is one of the day before, in seconds, because the machine may have been busy with something else.
LASTS = 86_400.0

log = logging.getLogger(__name__)

_CAPACITY = TypeAdapter(Capacity)


class Capacities:
    """The capacity of one process for each shape. fixed: the number from the settings, None to measure it.

    home: its folder "capacity" holds a file for each shape and device that was measured within a day.
    """

    def __init__(self, device: torch.device, fixed: int | None, home: Path) -> None:
        self._device = device
        self._fixed = fixed
        self._folder = home / "capacity"
        self._known: dict[str, Capacity] = {}

    def of(self, stage: Stage, dataset: Dataset) -> Capacity:
        """Return how many stages of a stage's shape are fastest side by side, and how many fit; at least 1."""
        key = self._key(stage)
        if key not in self._known:
            fixed = self._fixed if self._fixed and not is_random(stage, dataset) else None
            capacity = Capacity(fixed, fixed) if fixed else self._remembered(key) or self._measured(stage, dataset, key)
            if capacity.fastest > 1:
                log.info("up to %d networks like %s are trained side by side here", capacity.fastest, stage.network)
            self._known[key] = capacity
        return self._known[key]

    def shrink(self, stage: Stage, count: int) -> None:
        """Halve the capacity for a stage's shape, after memory ran out with `count` stages side by side."""
        fits, key = max(1, count // 2), self._key(stage)
        capacity = self._known.get(key, Capacity(fits, fits))
        self._known[key] = replace(capacity, fastest=min(capacity.fastest, fits), most=min(capacity.most, fits))

    def _key(self, stage: Stage) -> str:
        """Return all that the measured number depends on: the shape of the stage, the device and the software."""
        stage_facts = [stage.shape, stage.kind == "admm", stage.movement, stage.code]
        return json.dumps([VERSION, ENGINE_VERSION, torch.__version__, _facts(self._device), stage_facts])

    def _remembered(self, key: str) -> Capacity | None:
        """Return the capacity that any process measured on such a device, as far as the memory free now allows."""
        with suppress(OSError, ValueError, ValidationError, KeyError, TypeError):
            file = self._file(key)
            if not 0 <= time.time() - file.stat().st_mtime <= LASTS:
                return None
            content = json.loads(file.read_bytes())
            capacity = _CAPACITY.validate_python(content["capacity"])
            if content["key"] != key or not 1 <= capacity.fastest <= capacity.most <= STREAMS or capacity.each < 0:
                return None
            most = min(STREAMS, fitting(self._device, capacity.each)) if capacity.each else capacity.most
            if most > capacity.most and 2 * capacity.fastest > capacity.most:
                # The measurement ended where memory did, and now there is more.
                return None
            return replace(capacity, fastest=max(1, min(capacity.fastest, most)), most=max(1, most))
        return None

    def _measured(self, stage: Stage, dataset: Dataset, key: str) -> Capacity:
        capacity = how_many(stage, dataset, self._device)
        content: dict[str, Any] = {"key": key, "capacity": asdict(capacity)}
        try:
            write_whole(self._file(key), json.dumps(content, indent=1).encode())
        except OSError as error:
            log.info("the next process measures this again: %s", error)
        return capacity

    def _file(self, key: str) -> Path:
        return self._folder / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.json"


def _facts(device: torch.device) -> tuple[object, ...]:
    """Return the name and memory of a GPU, or the processor and the threads that a CPU is used with."""
    if device.type != "cuda":
        return platform.node(), platform.machine(), torch.get_num_threads()
    about = torch.cuda.get_device_properties(device)
    return about.name, about.total_memory, torch.version.cuda, torch.backends.cudnn.version()
