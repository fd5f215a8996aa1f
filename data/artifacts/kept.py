"""What each file of the artifact store is: whose weights, whose result, which images."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["result", "weights", "checkpoint", "leftover", "dataset"]

_RESULT = re.compile(r"results/([0-9a-f]{32})\.json")
_WEIGHTS = re.compile(r"weights/([0-9a-f]{32})/([a-z_]+)\.safetensors")
_DATASET = re.compile(r"datasets/([0-9a-f]{32})\.safetensors")
_LEFTOVER = re.compile(r"(?:results/\.|weights/)([0-9a-f]{32})(?:\.json|/\.[a-z_]+\.safetensors)\.[0-9a-f]+\.part")


@dataclass(frozen=True)
class Kept:
    """A file: its path below the URL, whose it is, what it is, its bytes, and when it was last changed (since 1970).

    owner: the fingerprint of a stage; of a dataset, the identity of its images.
    """

    path: str
    owner: str
    kind: Kind
    size: int
    modified: float


def recognised(path: str, size: int, modified: float) -> Kept | None:
    """Return what a file is, None for one that is not ours."""
    if found := _RESULT.fullmatch(path):
        return Kept(path, found[1], "result", size, modified)
    if found := _WEIGHTS.fullmatch(path):
        return Kept(path, found[1], "checkpoint" if found[2] == "checkpoint" else "weights", size, modified)
    if found := _DATASET.fullmatch(path):
        return Kept(path, found[1], "dataset", size, modified)
    if found := _LEFTOVER.fullmatch(path):
        return Kept(path, found[1], "leftover", size, modified)
    return None
