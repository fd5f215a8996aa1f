"""The artifact store: weights, masks and results by fingerprint, in a folder or any file system that fsspec knows."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.artifacts import result_schema
from data.artifacts.checksums import Damaged, open_tensors, open_values, seal_tensors, seal_values
from data.artifacts.files import ArtifactError, ArtifactsUnavailable, Files
from engine.stages.weights import WeightsLost
from engine.study.results import StageResult

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ArtifactError", "ArtifactLost", "Artifacts", "ArtifactsUnavailable", "ResultDamaged"]

FINGERPRINT = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[a-z_]+")

FileKind = Literal["result", "weights", "checkpoint", "leftover", "dataset"]

# The group of each pattern is the file's owner; a checkpoint matches the pattern of weights too, and comes before it.
_PATTERNS: dict[FileKind, re.Pattern[str]] = {
    "result": re.compile(r"results/([0-9a-f]{32})\.json"),
    "checkpoint": re.compile(r"weights/([0-9a-f]{32})/checkpoint\.safetensors"),
    "weights": re.compile(r"weights/([0-9a-f]{32})/[a-z_]+\.safetensors"),
    "dataset": re.compile(r"datasets/([0-9a-f]{32})\.safetensors"),
    "leftover": re.compile(r"(?:results/\.|weights/)([0-9a-f]{32})(?:\.json|/\.[a-z_]+\.safetensors)\.[0-9a-f]+\.part"),
}


@dataclass(frozen=True)
class StoredFile:
    """A file of a stage or a dataset: its path below the URL, its bytes, and its last change in seconds since 1970.

    owner: the fingerprint of the stage, or the identity of the dataset's images.
    """

    path: str
    owner: str
    kind: FileKind
    size: int
    modified: float


class ArtifactLost(ArtifactError, WeightsLost):
    """A stage's weights are missing or damaged, and the stage must be trained again."""

    def __init__(self, fingerprint: str, name: str, message: str) -> None:
        WeightsLost.__init__(self, fingerprint, name, message)


class ResultDamaged(ArtifactLost):
    """A stage's result cannot be read, so the stage counts as not done."""

    def __init__(self, fingerprint: str, message: str) -> None:
        super().__init__(fingerprint, "result", message)


class Artifacts:
    """The artifact store: weights and results of stages, and copies of datasets for other hosts.

    Layout below the URL: weights/<fingerprint>/<name>.safetensors, results/<fingerprint>.json and
    datasets/<identity>.safetensors. Every method raises ArtifactsUnavailable while the store is full or does not
    answer, and ArtifactError if it refuses.
    """

    def __init__(self, url: str) -> None:
        self._files = Files(url)
        self.url = self._files.url

    def save(self, fingerprint: str, name: str, tensors: Mapping[str, "Tensor"]) -> None:
        """Save tensors of any shape, dtype and device under a stage's fingerprint and a name, replacing older ones."""
        self._files.write(_weights(fingerprint, name), seal_tensors(tensors))

    def load(self, fingerprint: str, name: str) -> "dict[str, Tensor]":
        """Return saved tensors, on the CPU; ArtifactLost if they are missing or damaged."""
        path = _weights(fingerprint, name)
        content = self._files.read(path)
        if content is None:
            full, again = self._files.full(path), self._again(fingerprint)
            raise ArtifactLost(fingerprint, name, f"no {name} weights of stage {fingerprint} at {full}; {again}")
        try:
            return open_tensors(content)
        except Damaged as error:
            raise ArtifactLost(fingerprint, name, self._damaged(path, error, fingerprint)) from error

    def exists(self, fingerprint: str, name: str) -> bool:
        """Return whether tensors are saved under a fingerprint and a name."""
        return self._files.exists(_weights(fingerprint, name))

    def all_weights(self) -> set[tuple[str, str]]:
        """Return fingerprint and name of all saved weights, from one listing."""
        files = (_stored_file(*about) for about in self._files.below("weights"))
        return {(file.owner, Path(file.path).stem) for file in files if file is not None and file.kind == "weights"}

    def delete(self, fingerprint: str, name: str) -> None:
        """Remove saved tensors, if they exist."""
        self._files.remove(_weights(fingerprint, name))

    def finish(self, fingerprint: str, result: StageResult) -> None:
        """Save a stage's result: from here on the stage is done. Call it after the weights are saved."""
        self._files.write(_result(fingerprint), seal_values(result.to_json()))
        self._sweep(fingerprint)

    def result(self, fingerprint: str) -> StageResult | None:
        """Return a stage's result, None while it is not done; ResultDamaged if it cannot be read."""
        path = _result(fingerprint)
        content = self._files.read(path)
        if content is None:
            return None
        try:
            values = open_values(content)
            result_schema.check(values)
            result = StageResult.from_json(values)
        except (Damaged, ValueError, KeyError, TypeError) as error:
            raise ResultDamaged(fingerprint, self._damaged(path, error, fingerprint)) from error
        if result.fingerprint != fingerprint:
            full, again = self._files.full(path), self._again(fingerprint)
            raise ResultDamaged(fingerprint, f"{full} is the result of stage {result.fingerprint}; {again}")
        return result

    def unfinish(self, fingerprint: str) -> None:
        """Remove a stage's result, so that the stage counts as not done."""
        self._files.remove(_result(fingerprint))

    def finished(self) -> set[str]:
        """Return the fingerprints of all stages that are done, from one listing."""
        names = self._files.names("results")
        return {name.removesuffix(".json") for name in names if re.fullmatch(r"[0-9a-f]{32}\.json", name)}

    @property
    def is_folder(self) -> bool:
        """Whether the artifact store is a folder of this machine."""
        return self._files.is_folder

    def has_dataset(self, identity: str) -> bool:
        """Return whether a copy of a dataset is saved."""
        return self._files.exists(_dataset(identity))

    def save_dataset(self, identity: str, file: Path) -> None:
        """Save a copy of a dataset's file for other hosts."""
        self._files.upload(_dataset(identity), file)

    def load_dataset(self, identity: str, file: Path) -> bool:
        """Write the saved copy of a dataset to a file; False if there is none."""
        return self._files.download(_dataset(identity), file)

    def all_files(self) -> list[StoredFile]:
        """Return every file that belongs to a stage or a dataset, also incomplete ones."""
        listing = (entry for folder in ("results", "weights", "datasets") for entry in self._files.below(folder))
        return [file for file in (_stored_file(*entry) for entry in listing) if file is not None]

    def remove(self, files: Iterable[StoredFile]) -> None:
        """Remove files that `all_files` returned; after an error, calling it again removes the rest."""
        # Results are removed first, so that no stage counts as done without its weights.
        self._files.remove_all([file.path for file in sorted(files, key=lambda file: file.kind != "result")])

    def _damaged(self, path: str, error: Exception, fingerprint: str) -> str:
        return f"{self._files.full(path)} is damaged ({str(error)[:300]}); {self._again(fingerprint)}"

    def _again(self, fingerprint: str) -> str:
        return (
            f"remove {self.url}/results/{fingerprint}.json and {self.url}/weights/{fingerprint}, "
            "then launch the study again to train that stage anew"
        )

    def _sweep(self, fingerprint: str) -> None:
        """Remove incomplete weights of a stage, which killed writers have left behind."""
        if self.is_folder:
            for leftover in Path(self._files.full("weights"), fingerprint).glob(".*.part"):
                leftover.unlink(missing_ok=True)


def _weights(fingerprint: str, name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of weights; allowed: lower-case letters and underscores")
    return f"weights/{_checked(fingerprint)}/{name}.safetensors"


def _result(fingerprint: str) -> str:
    return f"results/{_checked(fingerprint)}.json"


def _dataset(identity: str) -> str:
    return f"datasets/{_checked(identity)}.safetensors"


def _checked(fingerprint: Any) -> str:
    if not isinstance(fingerprint, str) or not FINGERPRINT.fullmatch(fingerprint):
        raise ValueError(f"{fingerprint!r} is no fingerprint; allowed: 32 hex digits in lower case")
    return fingerprint


def _stored_file(path: str, size: int, modified: float) -> StoredFile | None:
    """Return the owner and kind of the file at a path; None for a file that is not Ticketscope's."""
    for kind, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(path):
            return StoredFile(path, match[1], kind, size, modified)
    return None
