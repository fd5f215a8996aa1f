"""Weights, masks and results by fingerprint, in a folder or any store that fsspec knows."""

import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import fsspec
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor, contiguous_format

from engine.results import StageResult

FINGERPRINT = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[a-z_]+")


class ArtifactError(RuntimeError):
    """Weights or a result that should be kept here are missing, damaged or cannot be written."""


class Artifacts:
    """The store of what stages leave behind.

    Layout below the URL: weights/<fingerprint>/<name>.safetensors and results/<fingerprint>.json. A file appears
    whole or not at all: locally it is written aside, flushed to disk and renamed; elsewhere it is a single put.
    """

    def __init__(self, url: str) -> None:
        try:
            # Listings change under us when other hosts finish stages, so they are never kept.
            self._files, self._root = fsspec.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise ArtifactError(
                f"cannot use {url!r} for artifacts: {error}; set TICKETSCOPE_ARTIFACTS to a folder or s3://bucket/prefix"
            ) from error
        self.url = url.rstrip("/")

    def save(self, fingerprint: str, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors of any shape, dtype and device under a stage's fingerprint and a name, replacing older ones."""
        # safetensors takes neither views that share memory nor other memory formats.
        plain = {key: tensor.detach().cpu().clone(memory_format=contiguous_format) for key, tensor in tensors.items()}
        self._write(self._weights(fingerprint, name), dump_tensors(plain))

    def load(self, fingerprint: str, name: str) -> dict[str, Tensor]:
        """Return kept tensors, on the CPU; ArtifactError where they are missing or damaged."""
        path = self._weights(fingerprint, name)
        content = self._read(path)
        if content is None:
            raise ArtifactError(f"no {name} weights of stage {fingerprint} at {path}; {self._again(fingerprint)}")
        try:
            return dict(parse_tensors(content))
        except SafetensorError as error:
            raise ArtifactError(f"{path} is damaged ({error}); {self._again(fingerprint)}") from error

    def exists(self, fingerprint: str, name: str) -> bool:
        """Return whether tensors are kept under that fingerprint and name."""
        return bool(self._files.exists(self._weights(fingerprint, name)))

    def delete(self, fingerprint: str, name: str) -> None:
        """Remove kept tensors; those that are not there need no removing."""
        try:
            self._files.rm_file(self._weights(fingerprint, name))
        except FileNotFoundError:
            return

    def finish(self, fingerprint: str, result: StageResult) -> None:
        """Keep a stage's result: from here on the stage is done. Call it after the weights are saved."""
        self._write(self._result(fingerprint), json.dumps(result.to_json(), allow_nan=False).encode())
        self._sweep(fingerprint)

    def result(self, fingerprint: str) -> StageResult | None:
        """Return a stage's result, None while it is not done; ArtifactError where it is damaged."""
        path = self._result(fingerprint)
        content = self._read(path)
        if content is None:
            return None
        try:
            result = StageResult.from_json(json.loads(content))
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged ({error!r}); {self._again(fingerprint)}") from error
        if result.fingerprint != fingerprint:
            raise ArtifactError(f"{path} is the result of stage {result.fingerprint}; {self._again(fingerprint)}")
        return result

    def finished(self) -> set[str]:
        """Return the fingerprints of all stages that are done, from one listing."""
        try:
            paths = self._files.ls(f"{self._root}/results", detail=False)
        except FileNotFoundError:
            return set()
        names = [str(path).rsplit("/", 1)[-1] for path in paths]
        return {name.removesuffix(".json") for name in names if re.fullmatch(r"[0-9a-f]{32}\.json", name)}

    def _weights(self, fingerprint: str, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} names no weights; allowed: small letters and underscores")
        return f"{self._root}/weights/{_checked(fingerprint)}/{name}.safetensors"

    def _result(self, fingerprint: str) -> str:
        return f"{self._root}/results/{_checked(fingerprint)}.json"

    def _again(self, fingerprint: str) -> str:
        return (
            f"remove {self.url}/results/{fingerprint}.json and {self.url}/weights/{fingerprint}, "
            "then launch the study again to train that stage anew"
        )

    def _read(self, path: str) -> bytes | None:
        try:
            return bytes(self._files.cat_file(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtifactError(f"cannot read {path}: {error}; check TICKETSCOPE_ARTIFACTS ({self.url})") from error

    def _write(self, path: str, content: bytes) -> None:
        try:
            if isinstance(self._files, LocalFileSystem):
                write_whole(Path(path), content)
            else:
                self._files.pipe_file(path, content)
        except OSError as error:
            raise ArtifactError(f"cannot write {path}: {error}; check space and rights at {self.url}") from error

    def _sweep(self, fingerprint: str) -> None:
        """Remove what writers that were killed have left of this stage's weights."""
        if isinstance(self._files, LocalFileSystem):
            for leftover in Path(self._root, "weights", fingerprint).glob(".*.part"):
                leftover.unlink(missing_ok=True)

    def kept(self) -> "list[Kept]":
        """Return every file that belongs to a stage, from one listing, those half written included."""
        found = (_kept(path[len(self._root) + 1 :], size, modified) for path, size, modified in self._listed())
        return [file for file in found if file is not None]

    def remove(self, files: "Iterable[Kept]") -> None:
        """Remove files that `kept` returned; results first, so that no stage counts as done whose weights are gone."""
        paths = [f"{self._root}/{file.path}" for file in sorted(files, key=lambda file: file.kind != "result")]
        try:
            if isinstance(self._files, LocalFileSystem):
                for path in paths:
                    Path(path).unlink(missing_ok=True)
                for folder in {Path(path).parent for path in paths} - {Path(self._root, "results")}:
                    with suppress(OSError):
                        folder.rmdir()
                return
            for begin in range(0, len(paths), 1000):
                with suppress(FileNotFoundError):
                    self._files.rm(paths[begin : begin + 1000])
        except OSError as error:
            raise ArtifactError(f"cannot remove from {self.url}: {error}; check the rights there") from error

    def _listed(self) -> Iterator[tuple[str, int, float]]:
        """Yield path, bytes and time of last change of every file below weights and results."""
        for part in ("results", "weights"):
            if isinstance(self._files, LocalFileSystem):
                for folder, _, names in os.walk(Path(self._root, part)):
                    for name in names:
                        # Workers write and rename meanwhile.
                        with suppress(FileNotFoundError):
                            file = Path(folder, name)
                            state = file.stat()
                            yield str(file), state.st_size, state.st_mtime
                continue
            with suppress(FileNotFoundError):
                for path, about in self._files.find(f"{self._root}/{part}", detail=True).items():
                    at = about.get("LastModified") or about.get("created") or about.get("mtime")
                    yield str(path), int(about["size"]), at.timestamp() if isinstance(at, datetime) else float(at or 0)


@dataclass(frozen=True)
class Kept:
    """A file of a stage: its path below the URL, what it is, its bytes, and when it was last changed (since 1970)."""

    path: str
    fingerprint: str
    kind: Literal["result", "weights", "checkpoint", "leftover"]
    size: int
    modified: float


def _kept(path: str, size: int, modified: float) -> Kept | None:
    result = re.fullmatch(r"results/([0-9a-f]{32})\.json", path)
    weights = re.fullmatch(r"weights/([0-9a-f]{32})/([a-z_]+)\.safetensors", path)
    leftover = re.fullmatch(
        r"(?:results/\.|weights/)([0-9a-f]{32})(?:\.json|/\.[a-z_]+\.safetensors)\.[0-9a-f]+\.part", path
    )
    if result:
        return Kept(path, result[1], "result", size, modified)
    if weights:
        return Kept(path, weights[1], "checkpoint" if weights[2] == "checkpoint" else "weights", size, modified)
    return Kept(path, leftover[1], "leftover", size, modified) if leftover else None


def write_whole(path: Path, content: bytes) -> None:
    """Write a local file so that a reader, or a crash at any moment, finds the old content or the new, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for every writer: two may write the same file at once.
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    # The rename itself lasts only once the folder is on disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checked(fingerprint: Any) -> str:
    if not isinstance(fingerprint, str) or not FINGERPRINT.fullmatch(fingerprint):
        raise ValueError(f"{fingerprint!r} is no fingerprint; allowed: 32 hex digits in small letters")
    return fingerprint
