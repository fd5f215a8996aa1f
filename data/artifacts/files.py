"""Files below one URL, in a folder or any file system that fsspec knows."""

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from data.atomic import write_whole
from engine.errors import UserError

# S3 deletes at most this many files in one request.
DELETED_AT_ONCE = 1000

# These are the limits on a connection, and on the next byte of an answer.
CONNECT_SECONDS, ANSWER_SECONDS = 5, 15
# s3fs tries a request this often; `tasks.worker.retrying_artifacts` retries for longer.
TRIES = 3
# An upload whose packets nobody acknowledges ends after this time; the kernel's own limit is 15 minutes.
UNACKNOWLEDGED_MS = 20_000

S3 = ("s3", "s3a")

# These errors pass by themselves, or once somebody has cleared space or fixed a mount.
PASSING = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "EREMOTEIO", "EPIPE", "ENOTCONN"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED"),
    )
    if hasattr(errno, name)
}


class ArtifactError(UserError):
    """Weights or a result in the artifact store are missing or damaged, or cannot be written."""


class ArtifactsUnavailable(ArtifactError):
    """The artifact store cannot be read or written at present: it is full, or does not answer."""


class Files:
    """The files below a URL; paths are relative to it.

    A file appears whole or not at all: locally it is written under another name, flushed to disk and renamed; elsewhere
    it is written by a single put, or in parts that are joined at the end. Every method raises ArtifactsUnavailable for
    errors that may pass, and ArtifactError for others.
    """

    def __init__(self, url: str) -> None:
        try:
            self._system, self._root = fsspec.url_to_fs(url, **_options(url))
        except (ValueError, ImportError) as error:
            raise ArtifactError(
                f"cannot use {url!r} for artifacts: {error}; set TICKETSCOPE_ARTIFACTS to a folder or s3://bucket/prefix"
            ) from error
        self.url = url.rstrip("/")
        self._is_s3 = url.partition("://")[0] in S3
        if self._is_s3:
            self._system.retries = TRIES

    @property
    def is_folder(self) -> bool:
        """Whether the files are in a folder of this machine."""
        return isinstance(self._system, LocalFileSystem)

    def full(self, path: str) -> str:
        """Return a path with the root of the URL in front."""
        return f"{self._root}/{path}"

    def exists(self, path: str) -> bool:
        """Return whether there is such a file."""
        with self._reaching("look for", path):
            return bool(self._system.exists(self.full(path)))

    def read(self, path: str) -> bytes | None:
        """Return a file's content, None if it does not exist."""
        try:
            with self._reaching("read", path):
                return bytes(self._system.cat_file(self.full(path)))
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes) -> None:
        """Write a file, replacing an older one."""
        with self._writing(path):
            if self.is_folder:
                write_whole(Path(self.full(path)), content)
            else:
                self._system.pipe_file(self.full(path), content)

    def upload(self, path: str, file: Path) -> None:
        """Write a file from a local one that is too large for memory."""
        with self._writing(path):
            self._system.put_file(str(file), self.full(path))

    def download(self, path: str, file: Path) -> bool:
        """Copy a file to a local one; False if it does not exist."""
        try:
            with self._reaching("read", path):
                self._system.get_file(self.full(path), str(file))
        except FileNotFoundError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, none if it does not exist."""
        try:
            with self._reaching("list", folder):
                paths = self._system.ls(self.full(folder), detail=False)
        except FileNotFoundError:
            self._check_bucket()
            return []
        return [str(path).rsplit("/", 1)[-1] for path in paths]

    def below(self, folder: str) -> Iterator[tuple[str, int, float]]:
        """Yield path, bytes and time of last change, in seconds since 1970, of every file below a folder."""
        if self.is_folder:
            yield from _walked(Path(self.full(folder)), len(self._root) + 1)
            return
        try:
            with self._reaching("list", folder):
                files = self._system.find(self.full(folder), detail=True)
        except FileNotFoundError:
            return
        for path, about in files.items():
            at = about.get("LastModified") or about.get("created") or about.get("mtime")
            changed = at.timestamp() if isinstance(at, datetime) else float(at or 0)
            yield str(path)[len(self._root) + 1 :], int(about["size"]), changed

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError), self._reaching("remove", path):
            self._system.rm_file(self.full(path))

    def remove_all(self, paths: Sequence[str]) -> None:
        """Remove files in this order, and locally the folders that are empty afterwards."""
        if self.is_folder:
            for path in paths:
                self.remove(path)
            for folder in {Path(path).parent for path in paths}:
                # The folders that all stages share stay, and so does a folder that somebody has written to again.
                if len(folder.parts) > 1:
                    with suppress(OSError):
                        Path(self._root, folder).rmdir()
            return
        for begin in range(0, len(paths), DELETED_AT_ONCE):
            some = paths[begin : begin + DELETED_AT_ONCE]
            try:
                with self._reaching("remove", some[0]):
                    self._system.rm([self.full(path) for path in some])
            except FileNotFoundError:
                # Some stores stop at a file that does not exist any more.
                for path in some:
                    self.remove(path)

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            with self._reaching("write", path):
                yield
        except FileNotFoundError as error:
            raise ArtifactError(f"cannot write {self.full(path)}: {error}; check that {self.url} exists") from error

    @contextmanager
    def _reaching(self, what: str, path: str) -> Iterator[None]:
        """Turn errors of the file system other than FileNotFoundError into ArtifactsUnavailable or ArtifactError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            # A remote store's refusal is final; all its other errors mean that the connection is lost.
            away = error.errno in PASSING if self.is_folder else not isinstance(error, PermissionError)
            kind = ArtifactsUnavailable if away else ArtifactError
            raise kind(f"cannot {what} {self.full(path)}: {error}; check space and rights at {self.url}") from error
        except Exception as error:
            # The libraries that fsspec uses have their own errors for a host that does not answer.
            if self.is_folder:
                raise
            raise ArtifactsUnavailable(
                f"cannot {what} {self.full(path)}: {error!r}; check that {self.url} can be reached"
            ) from error

    def _check_bucket(self) -> None:
        """Raise ArtifactError if the bucket itself does not exist."""
        if not self._is_s3:
            return
        bucket = self._root.partition("/")[0]
        with self._reaching("look for", ""):
            exists = self._system.exists(bucket)
        if not exists:
            raise ArtifactError(
                f"there is no bucket {bucket!r} for TICKETSCOPE_ARTIFACTS ({self.url}); make it, or name another, and "
                "check AWS_ENDPOINT_URL where the store is not Amazon's"
            )


def _walked(folder: Path, prefix: int) -> Iterator[tuple[str, int, float]]:
    for parent, _, names in os.walk(folder):
        for file in (Path(parent, name) for name in names):
            # Workers rename files while the folder is read.
            with suppress(FileNotFoundError):
                status = file.stat()
                yield str(file)[prefix:], status.st_size, status.st_mtime


def _options(url: str) -> dict[str, Any]:
    """Return fsspec's options for a URL; S3's endpoint and credentials come from the environment."""
    # Listings are not cached, because other hosts change them whenever they finish stages.
    options: dict[str, Any] = {"use_listings_cache": False}
    if url.partition("://")[0] in S3:
        options["config_kwargs"] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": ANSWER_SECONDS,
            # botocore makes one attempt, because s3fs retries: five times five attempts of 15 s would be six minutes.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "connector_args": {"socket_factory": _socket},
        }
    return options


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket, for an address of getaddrinfo, that fails when the other side no longer answers."""
    family, kind, protocol = address[:3]
    connection = socket.socket(family=family, type=kind, proto=protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    return connection
