"""Bundles of studies with random numbers, and the same with some members replaced."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from data.bundles import contents
from data.bundles.contents import Bundle
from data.bundles.format import MANIFEST
from data.bundles.writer import in_memory
from data.database.database import Database
from engine.study.plan import Plan
from engine.study.results import StageResult
from tests.data.made_results import STUDY_ID, Stream, made_results

# The new content of a member from its old one, or None to leave it out.
Change = bytes | None | Callable[[bytes], bytes]


def exported(
    database: Database,
    planned: Plan,
    results: Mapping[str, StageResult] | None = None,
    study_id: str = STUDY_ID,
    lab: str = "Lab A",
) -> bytes:
    """Record a study with its results, random ones for all stages by default, and return it as a bundle."""
    stream = Stream()
    events = [stream.launched(planned, study_id)]
    for result in (made_results(planned) if results is None else results).values():
        events += stream.life(result)
    database.ensure()
    database.record(events)
    return in_memory(database, study_id, lab)


def read(content: bytes) -> Bundle:
    """Return a bundle after all of its checks."""
    bundle = contents.read(io.BytesIO(content), "study.zip")
    bundle.check()
    return bundle


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(content: bytes, changes: Mapping[str, Change]) -> bytes:
    """Return a bundle with members replaced, added or left out, whose manifest fits them unless it is changed too."""
    files: dict[str, bytes | None] = dict(members(content))
    for name, change in changes.items():
        files[name] = change(files[name] or b"") if callable(change) else change
    whole = {name: data for name, data in files.items() if data is not None}
    if MANIFEST not in changes:
        listed = {name: data for name, data in whole.items() if name != MANIFEST}
        about = {n: {"size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in listed.items()}
        whole[MANIFEST] = json.dumps({**json.loads(whole[MANIFEST]), "members": about}).encode()
    return zipped(whole)


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            method = zipfile.ZIP_STORED if name.startswith("weights/") else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def edited(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Return a change of a member that is JSON; change: edits the values in place."""

    def edit(content: bytes) -> bytes:
        values = json.loads(content)
        # A result without a hash is not compared with one.
        values.pop("blake2b", None)
        change(values)
        return json.dumps(values).encode()

    return edit
