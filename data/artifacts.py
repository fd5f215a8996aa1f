"""Weights, masks and results by fingerprint, in a folder or any store that fsspec knows."""

import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor, contiguous_format

from data import measured
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
            raise ArtifactError(f"{path} is damaged ({str(error)[:300]}); {self._again(fingerprint)}") from error

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
            values = json.loads(content)
            measured.check(values)
            result = StageResult.from_json(values)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = str(error)[:300]
            raise ArtifactError(f"{path} is damaged ({reason}); {self._again(fingerprint)}") from error
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
