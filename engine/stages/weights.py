"""The store of weights that stages need, and what it means that some are lost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from engine.study.results import StageResult

if TYPE_CHECKING:
    from torch import Tensor


class Weights(Protocol):
    """Where tensors and results are kept, by the stage's fingerprint.

    Names of tensors are initial, rewind, trained, mask and checkpoint. load raises WeightsLost for what is missing or
    damaged; result answers None for what is missing.
    """

    def save(self, fingerprint: str, name: str, tensors: "Mapping[str, Tensor]") -> None: ...

    def load(self, fingerprint: str, name: str) -> "dict[str, Tensor]": ...

    def exists(self, fingerprint: str, name: str) -> bool: ...

    def result(self, fingerprint: str) -> StageResult | None: ...


class WeightsLost(Exception):
    """Kept tensors of a stage, by fingerprint and name, are missing or damaged."""

    def __init__(self, fingerprint: str, name: str, message: str) -> None:
        self.fingerprint = fingerprint
        self.name = name
        super().__init__(message)
