"""Importing torchvision, which fails over CPU builds of PyTorch without a workaround."""

import functools
import importlib
import sys
from types import ModuleType
from typing import Any

import torch

# Registered operators vanish with their library object, so it lives as long as the process.
_OPERATORS: list[Any] = []


@functools.cache
def torchvision() -> ModuleType:
    """Return torchvision with its datasets and models imported.

    The torchvision of the package index is built for CUDA; over a CPU build of PyTorch it lacks two operators that
    Ticketscope never calls. Only for that error, they are declared; any other error is raised.
    """
    try:
        return _load()
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _OPERATORS.append(library)
    return _load()


def _load() -> ModuleType:
    module = importlib.import_module("torchvision")
    importlib.import_module("torchvision.datasets")
    importlib.import_module("torchvision.models")
    return module
