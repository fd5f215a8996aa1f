"""Writing a recorded study as a bundle."""

import hashlib
import json
import os
import secrets
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq

from data import parquet
from data.artifacts.checksums import seal_tensors, seal_values
from data.artifacts.store import ArtifactLost, Artifacts
from data.bundles import recorded
from data.bundles.format import FORMAT, LAUNCH, MANIFEST, STUDY, BundleError, Progress, checked_lab, silent
from data.database.database import Database
from data.queries import launches, studies
from data.queries.launches import Launch
from engine.paper import citation
from engine.study.plan import ENGINE_VERSION, Stage
from engine.study.results import StageResult
from engine.study.spec import Study, to_toml


@dataclass(frozen=True)
class Written:
    """What a bundle holds: numbers of the study's stages, of its results, and of these the ones without weights."""

    stages: int
    results: int
    without_weights: int


def write_file(
    database: Database,
    study_id: str,
    path: Path,
    lab: str = "",
    artifacts: Artifacts | None = None,
    progress: Progress = silent,
) -> Written:
    """Write a study to a file, which is there as a whole or not at all; as `write` for the rest.

    BundleError for a path that is a folder, OSError where it cannot be written.
    """
    if path.is_dir():
        raise BundleError(
            f"{path} is a folder; give the name of a file in it, such as {path / 'study.ticketscope.zip'}"
        )
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with aside.open("xb") as file:
            written = write(database, study_id, file, lab, artifacts, progress)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return written


def write(
    database: Database,
    study_id: str,
    file: IO[bytes],
    lab: str = "",
    artifacts: Artifacts | None = None,
    progress: Progress = silent,
) -> Written:
    """Write a study with its results so far as a bundle.

    lab: what the bundle calls this place. artifacts: the store of the weights; None to leave them out. Weights that are
    missing, or belong to another training of the stage than the recorded one, are left out. Raises UnknownStudy, and
    BundleError for a lab's name that cannot be shown.
    """
    try:
        lab = checked_lab(lab)
    except ValueError as error:
        raise BundleError(str(error)) from error
    record, launched = studies.study(database, study_id), launches.read(database, study_id)
    done = recorded.finished(database, study_id)
    members: dict[str, dict[str, Any]] = {}
    without_weights = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes, compress: int = zipfile.ZIP_DEFLATED) -> None:
            members[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            # Files of a zip have times, which would be those of the export; the manifest says that once.
            archive.writestr(zipfile.ZipInfo(name), content, compress)

        add(STUDY, to_toml(record.study).encode())
        add(LAUNCH, json.dumps(_body(launched, record.study)).encode())
        for name, table in parquet.tables_from_database(database, study_id).items():
            add(f"tables/{name}.parquet", _parquet(table))
        for number, result in enumerate(recorded.results(database, done, lab)):
            progress(number, len(done))
            add(f"results/{result.fingerprint}.json", seal_values(result.to_json()))
            if artifacts is not None and result.diverged is None:
                names = _weights(artifacts, launched.stages[result.fingerprint].stage, result)
                without_weights += not names
                for name in names:
                    content = seal_tensors(artifacts.load(result.fingerprint, name))
                    add(f"weights/{result.fingerprint}/{name}.safetensors", content, zipfile.ZIP_STORED)
        progress(len(done), len(done))
        manifest = {
            "format": FORMAT,
            "ticketscope": citation.VERSION,
            "engine": _engine(launched),
            "lab": lab,
            "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "study_id": study_id,
            "members": dict(members),
        }
        add(MANIFEST, json.dumps(manifest, indent=1).encode())
    return Written(len(launched.stages), len(done), without_weights)


def in_memory(database: Database, study_id: str, lab: str = "") -> bytes:
    """Return a study without its weights as a bundle; as `write` for the rest."""
    file = BytesIO()
    write(database, study_id, file, lab)
    return file.getvalue()


def _body(launched: Launch, study: Study) -> dict[str, Any]:
    """Return the event of the launch without the TOML, which has a file of its own, under the study's present name."""
    return {**{name: value for name, value in launched.body.items() if name != "toml"}, "name": study.name}


def _engine(launched: Launch) -> int:
    """Return the version of the engine that made a study's fingerprints."""
    for version in range(ENGINE_VERSION, 0, -1):
        if all(launch.stage.fingerprint_by(version) == key for key, launch in launched.stages.items()):
            return version
    raise BundleError(
        f"the fingerprints of study {launched.study_id} are of no version of the engine that this Ticketscope knows, "
        "so nobody could check them; export it with the Ticketscope that launched it"
    )


def _parquet(table: Any) -> bytes:
    out = BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _weights(artifacts: Artifacts, stage: Stage, result: StageResult) -> tuple[str, ...]:
    """Return the names of a stage's weights, none unless all are saved and are those of the recorded result."""
    # This imports PyTorch, which a bundle without weights does not need.
    from engine.stages.runner import saved_weights

    names = saved_weights(stage, result)
    try:
        saved = artifacts.result(result.fingerprint)
        if saved is None or [e.test_accuracy for e in saved.epochs] != [e.test_accuracy for e in result.epochs]:
            return ()
        # Damaged weights are noticed here, before any of them is written.
        for name in names:
            artifacts.load(result.fingerprint, name)
    except ArtifactLost:
        return ()
    return names
