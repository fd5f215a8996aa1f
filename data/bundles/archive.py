"""The zip of a bundle, opened without trusting it: known names, bounded sizes, and content that fits its hashes."""

import hashlib
import json
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from pydantic import ValidationError

from data.artifacts.result_schema import explained
from data.bundles.format import (
    DIRECTORY_BYTES,
    FORMAT,
    KINDS,
    LAUNCH,
    MANIFEST,
    MB,
    MOST_MEMBERS,
    RATIO,
    STUDY,
    BundleError,
    Manifest,
    kind_of,
)

# What the reader of a zip raises for one that is damaged or made up.
FAULTY = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
    OSError,
)

CHUNK = MB
_END, _END64, _LOCATOR = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_END_BYTES, _LOCATOR_BYTES, _END64_BYTES = 22, 20, 56


class Archive:
    """The members of a bundle, each checked when it is read; manifest: what it says of itself.

    file: open for reading until the last call. name: of the file, for messages. Raises BundleError, which names the
    file and the member.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self._file = file
        with self._faults():
            size = self._require_small_directory()
            self._zip = zipfile.ZipFile(file)
            self._infos = self._known(self._zip.infolist(), size)
        self.manifest = self._manifest()
        listed = self.manifest.members.keys()
        for member in sorted(self._infos.keys() ^ (listed | {MANIFEST})):
            where = "the manifest does not list it" if member in self._infos else "it is missing"
            raise self.fault(member, where)
        for member, about in self.manifest.members.items():
            if about.size != self._infos[member].file_size:
                raise self.fault(member, f"has {self._infos[member].file_size:,} bytes, {about.size:,} in the manifest")

    @property
    def members(self) -> list[str]:
        """The names of all members but the manifest."""
        return list(self.manifest.members)

    def read(self, member: str) -> bytes:
        """Return the content of a member; BundleError if it does not fit the manifest."""
        return b"".join(self.chunks(member))

    def chunks(self, member: str) -> Iterator[bytes]:
        """Yield the content of a member; BundleError at its end if it does not fit the manifest."""
        digest = hashlib.sha256()
        for chunk in self._content(member):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != self.manifest.members[member].sha256:
            raise self.fault(member, "its content does not match its hash; copy the file again")

    def fault(self, member: str, what: str) -> BundleError:
        """Return an error about a member."""
        return BundleError(f"{self.name} cannot be imported: {member[:120]!r}: {what}")

    def _content(self, member: str) -> Iterator[bytes]:
        # The size was checked against the limit of the kind; the reader never returns more.
        with self._faults(member), self._zip.open(self._infos[member]) as content:
            left = self._infos[member].file_size
            while chunk := content.read(CHUNK):
                left -= len(chunk)
                yield chunk
            if left:
                raise EOFError(f"{left:,} bytes are missing")

    def _require_small_directory(self) -> int:
        """Return the bytes of the file; refuse one without the end of a zip, or with a list that would fill memory."""
        size = self._file.seek(0, os.SEEK_END)
        tail_bytes = min(size, _END64_BYTES + _LOCATOR_BYTES + _END_BYTES)
        self._file.seek(size - tail_bytes)
        tail = self._file.read(tail_bytes)
        end = tail[-_END_BYTES:]
        if len(end) < _END_BYTES or end[:4] != _END or end[-2:] != b"\0\0":
            raise zipfile.BadZipFile("it does not end as a bundle does; it may be cut, or no bundle at all")
        (listed,) = struct.unpack("<I", end[12:16])
        if tail[-_END_BYTES - _LOCATOR_BYTES :][:4] == _LOCATOR and tail[:4] == _END64:
            # Large zips have a second record of the same before the first.
            (listed,) = struct.unpack("<Q", tail[40:48])
        if listed > DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its list of members has {listed:,} bytes; allowed: {DIRECTORY_BYTES:,}")
        self._file.seek(0)
        return size

    def _known(self, infos: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
        """Return the members by name, if each is one that a bundle has, within its limits."""
        if len(infos) > MOST_MEMBERS:
            raise zipfile.BadZipFile(f"it has {len(infos):,} members; allowed: {MOST_MEMBERS:,}")
        known: dict[str, zipfile.ZipInfo] = {}
        expanded = 0
        for info in infos:
            found = kind_of(info.filename)
            # A name with a NUL is cut by the reader.
            if found is None or info.orig_filename != info.filename:
                raise self.fault(info.orig_filename, "no bundle has a member of this name")
            if info.filename in known:
                raise self.fault(info.filename, "it is there twice")
            kind = KINDS[found[0]]
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise self.fault(info.filename, "it is a link or a folder, and no file")
            if info.flag_bits & 1:
                raise self.fault(info.filename, "it is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, *([zipfile.ZIP_DEFLATED] * kind.compressed)):
                raise self.fault(info.filename, "it is compressed in a way that bundles are not")
            if info.file_size > kind.most:
                raise self.fault(info.filename, f"it has {info.file_size:,} bytes; allowed: {kind.most:,}")
            expanded += info.file_size
            known[info.filename] = info
        if expanded > RATIO * size + MB:
            raise zipfile.BadZipFile(
                f"it would grow from {size:,} to {expanded:,} bytes; allowed: {RATIO} times as many"
            )
        for name in (MANIFEST, STUDY, LAUNCH):
            if name not in known:
                raise self.fault(name, "it is missing, so this is no bundle")
        return known

    def _manifest(self) -> Manifest:
        values = parsed(self, MANIFEST, b"".join(self._content(MANIFEST)))
        found = values.get("format") if isinstance(values, dict) else None
        if isinstance(found, int) and found > FORMAT:
            by = str(values.get("ticketscope", "?"))[:20]
            raise BundleError(
                f"{self.name} has format {found} of bundles (Ticketscope {by!a}); this Ticketscope reads formats up to "
                f"{FORMAT}: update it, then import the file again"
            )
        try:
            return Manifest.model_validate(values)
        except ValidationError as error:
            raise self.fault(MANIFEST, explained(error)) from error

    @contextmanager
    def _faults(self, member: str = "") -> Iterator[None]:
        try:
            yield
        except FAULTY as error:
            where = f"{member!r}: " if member else ""
            raise BundleError(f"{self.name} cannot be imported: {where}{str(error)[:300]}") from error


def parsed(archive: Archive, member: str, content: bytes) -> Any:
    """Return the JSON of a member; BundleError for other content."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise archive.fault(member, f"it is no JSON: {str(error)[:200]}") from error
