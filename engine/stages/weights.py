"""The interface by which stages save and load weights, and the error for weights that are lost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from engine.study.results import StageResult

if TYPE_CHECKING:
    from torch import Tensor


class Weights(Protocol):
    """A store of tensors and results by the stage's fingerprint.

    The names of tensors are initial, rewind, trained, mask, movement and checkpoint. load raises WeightsLost for
    missing or damaged tensors; result returns None for a missing result.
    """

    def save(self, fingerprint: str, name: str, tensors: "Mapping[str, Tensor]") -> None: ...

    def load(self, fingerprint: str, name: str) -> "dict[str, Tensor]": ...

    def exists(self, fingerprint: str, name: str) -> bool: ...

    def result(self, fingerprint: str) -> StageResult | None: ...


class WeightsLost(Exception):
    """Saved tensors of a stage, by fingerprint and name, are missing or damaged."""

    def __init__(self, fingerprint: str, name: str, message: str) -> None:
        self.fingerprint = fingerprint
        self.name = name
        super().__init__(message)
