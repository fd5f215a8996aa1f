"""Weights, masks and results by fingerprint, in a folder or any store that fsspec knows."""

import errno
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from torch import Tensor

from data import measured
from data.sealed import Damaged, open_tensors, open_values, seal_tensors, seal_values
from engine.results import StageResult
from engine.stages import WeightsLost

FINGERPRINT = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[a-z_]+")

# What passes by itself, or once somebody has cleared space or mended a mount.
PASSING = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "EREMOTEIO", "EPIPE", "ENOTCONN"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED"),
    )
    if hasattr(errno, name)
}


class ArtifactError(RuntimeError):
    """Weights or a result that should be kept here are missing, damaged or cannot be written."""


class ArtifactLost(ArtifactError, WeightsLost):
    """A stage's weights are missing or damaged: nothing but training it again brings them back."""

    def __init__(self, fingerprint: str, name: str, message: str) -> None:
        WeightsLost.__init__(self, fingerprint, name, message)


class ResultDamaged(ArtifactLost):
    """A stage's result does not read, so that the stage counts as not done."""

    def __init__(self, fingerprint: str, message: str) -> None:
        super().__init__(fingerprint, "result", message)


class StoreAway(ArtifactError):
    """The store does not take or give anything for now: it is full, or does not answer."""


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
        self._write(self._weights(fingerprint, name), seal_tensors(tensors))

    def load(self, fingerprint: str, name: str) -> dict[str, Tensor]:
        """Return kept tensors, on the CPU; ArtifactLost where they are missing or damaged, StoreAway."""
        path = self._weights(fingerprint, name)
        content = self._read(path)
        if content is None:
            message = f"no {name} weights of stage {fingerprint} at {path}; {self._again(fingerprint)}"
            raise ArtifactLost(fingerprint, name, message)
        try:
            return open_tensors(content)
        except Damaged as error:
            message = f"{path} is damaged ({str(error)[:300]}); {self._again(fingerprint)}"
            raise ArtifactLost(fingerprint, name, message) from error

    def exists(self, fingerprint: str, name: str) -> bool:
        """Return whether tensors are kept under that fingerprint and name; StoreAway."""
        path = self._weights(fingerprint, name)
        with self._reaching("look for", path):
            return bool(self._files.exists(path))

    def delete(self, fingerprint: str, name: str) -> None:
        """Remove kept tensors; those that are not there need no removing. Raises StoreAway."""
        self._remove(self._weights(fingerprint, name))

    def finish(self, fingerprint: str, result: StageResult) -> None:
        """Keep a stage's result: from here on the stage is done. Call it after the weights are saved."""
        self._write(self._result(fingerprint), seal_values(result.to_json()))
        self._sweep(fingerprint)

    def result(self, fingerprint: str) -> StageResult | None:
        """Return a stage's result, None while it is not done; ResultDamaged where it does not read, StoreAway."""
        path = self._result(fingerprint)
        content = self._read(path)
        if content is None:
            return None
        try:
            values = open_values(content)
            measured.check(values)
            result = StageResult.from_json(values)
        except (Damaged, ValueError, KeyError, TypeError) as error:
            reason = str(error)[:300]
            raise ResultDamaged(fingerprint, f"{path} is damaged ({reason}); {self._again(fingerprint)}") from error
        if result.fingerprint != fingerprint:
            raise ResultDamaged(
                fingerprint, f"{path} is the result of stage {result.fingerprint}; {self._again(fingerprint)}"
            )
        return result

    def unfinish(self, fingerprint: str) -> None:
        """Remove a stage's result, so that the stage counts as not done; raises StoreAway."""
        self._remove(self._result(fingerprint))

    def finished(self) -> set[str]:
        """Return the fingerprints of all stages that are done, from one listing; StoreAway."""
        try:
            with self._reaching("list", f"{self._root}/results"):
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
            with self._reaching("read", path):
                return bytes(self._files.cat_file(path))
        except FileNotFoundError:
            return None

    def _write(self, path: str, content: bytes) -> None:
        try:
            with self._reaching("write", path):
                if self._local:
                    write_whole(Path(path), content)
                else:
                    self._files.pipe_file(path, content)
        except FileNotFoundError as error:
            raise ArtifactError(f"cannot write {path}: {error}; check that {self.url} is there") from error

    def _remove(self, path: str) -> None:
        try:
            with self._reaching("remove", path):
                self._files.rm_file(path)
        except FileNotFoundError:
            return

    @contextmanager
    def _reaching(self, what: str, path: str) -> Iterator[None]:
        """Turn what the store answers into errors of ours, but for FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            # Of another host only a refusal is final; the rest are names for a line that is cut.
            away = error.errno in PASSING if self._local else not isinstance(error, PermissionError)
            kind = StoreAway if away else ArtifactError
            raise kind(f"cannot {what} {path}: {error}; check space and rights at {self.url}") from error
        except Exception as error:
            # The libraries behind fsspec have errors of their own for a host that does not answer.
            if self._local:
                raise
            raise StoreAway(f"cannot {what} {path}: {error!r}; check that {self.url} can be reached") from error

    @property
    def _local(self) -> bool:
        return isinstance(self._files, LocalFileSystem)

    def _sweep(self, fingerprint: str) -> None:
        """Remove what writers that were killed have left of this stage's weights."""
        if self._local:
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
