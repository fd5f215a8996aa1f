"""The weights of trainings as files for other programs: safetensors, their settings as JSON, and a loader."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.artifacts.checksums import seal_tensors
from data.artifacts.store import Artifacts
from data.atomic import write_whole
from data.database.database import Database
from data.datasets import registry
from data.queries import launches, points, studies
from data.queries.selection import ROLE, OneStudy
from data.weights import choice, saved
from data.weights.choice import Training
from engine.dataset import Shape
from engine.paper import citation
from engine.study import layers
from engine.study.plan import Stage

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, MASK, CONFIG, LOADER = "weights.safetensors", "mask.safetensors", "config.json", "load.py"
# The longest name of a dataset in the name of a folder.
LONGEST = 40


@dataclass(frozen=True)
class Measured:
    """A finished training that has weights, with its test accuracy in percent and its measured sparsity."""

    training: Training
    test_accuracy: float
    sparsity: float


def trainings(database: Database, study_id: str, **chosen: Any) -> list[Measured]:
    """Return the trainings of a study that are done, did not diverge and have the chosen values, each once.

    chosen: as for `choice.find`, which says why where there is none.
    """
    rows = points.accuracy(database, OneStudy(study_id))
    stages = launches.read(database, study_id).stages
    found: dict[str, Measured] = {}
    for row in rows.to_dict("records"):
        point = {str(name): value for name, value in row.items()}
        fingerprint = point["fingerprint"]
        if all(value is None or _equal(point[name], value) for name, value in chosen.items() if name in ROLE):
            training = choice.training(point, stages[fingerprint].stage, "done", None)
            about = Measured(training, float(point["test_accuracy"]), float(point["measured_sparsity"]))
            found.setdefault(fingerprint, about)
    if not found:
        # This raises the error that names what is allowed, or returns a training that is not done.
        training = choice.find(database, study_id, **chosen)
        raise saved.WeightsMissing(f"{training} has no weights: it is {training.state}, or its training diverged")
    return list(found.values())


def write(
    database: Database, artifacts: Artifacts, study_id: str, measured: Measured, which: str, out: Path, home: Path
) -> Path:
    """Write the weights, mask, settings and loader of a training to a folder, and return it.

    which: one of `saved.WHICH`. home: `Settings.home`. Raises WeightsMissing, ArtifactError, and OSError where the
    folder cannot be written. Files that are there are replaced, each as a whole.
    """
    state, mask = saved.load(artifacts, measured.training, which, home)
    config = _config(database, study_id, measured, which, home, mask)
    write_whole(out / WEIGHTS, seal_tensors(state))
    if mask:
        write_whole(out / MASK, seal_tensors(mask))
    else:
        (out / MASK).unlink(missing_ok=True)
    write_whole(out / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    write_whole(out / LOADER, Path(__file__).with_name("loader.py").read_bytes())
    return out


def folder_names(measured: Sequence[Measured]) -> list[str]:
    """Return a name for the folder of each training, no two alike."""
    names: list[str] = []
    for one in measured:
        training = one.training
        dataset = re.sub(r"[^A-Za-z0-9_.-]+", "-", training.dataset.rstrip("/").rpartition("/")[2])[:LONGEST].strip(
            ".-"
        )
        parts = [training.network, dataset, f"lr{training.learning_rate:g}", f"seed{training.seed}", training.start]
        parts += [] if training.pruner is None else [training.pruner, f"{training.sparsity:g}"]
        name = "-".join(part for part in parts if part).replace(":", "-").replace("/", "-")
        names.append(f"{name}-{training.fingerprint[:8]}" if name in names else name)
    return names


def _equal(value: object, wanted: object) -> bool:
    if isinstance(value, float | int) and isinstance(wanted, float | int):
        return math.isclose(value, wanted)
    return value == wanted


def _config(
    database: Database, study_id: str, measured: Measured, which: str, home: Path, mask: "Mapping[str, Tensor]"
) -> dict[str, Any]:
    training, record = measured.training, studies.study(database, study_id)
    stage, shape = training.stage, _shape(training.dataset, home)
    with database.reading() as connection:
        row = connection.execute(
            "SELECT versions, device FROM results WHERE fingerprint = ?", [training.fingerprint]
        ).fetchone()
    versions, device = row or ("{}", "")
    return {
        "study": {"id": study_id, "name": record.study.name},
        "fingerprint": training.fingerprint,
        "weights": f"{which}: {saved.WHICH[which]}",
        "network": training.network,
        "dataset": training.dataset,
        "channels": shape and shape.channels,
        "image_size": shape and shape.image_size,
        "classes": shape and shape.classes,
        "input": _input(stage, home),
        "layers": _layers(stage, shape, mask),
        "start": training.start,
        "pruner": training.pruner,
        "sparsity": training.sparsity,
        "measured_sparsity": measured.sparsity,
        "rounds": list(stage.rounds),
        "scope": stage.scope,
        "learning_rate": training.learning_rate,
        "seed": training.seed,
        "recipe": stage.recipe.model_dump(mode="json"),
        # Weights from before the training have another accuracy.
        "test_accuracy": measured.test_accuracy if which == "trained" else None,
        "device": device,
        "versions": {"ticketscope": citation.VERSION, **json.loads(versions)},
    }


def _shape(dataset: str, home: Path) -> Shape | None:
    try:
        return registry.shape(dataset, home)
    except registry.DatasetError:
        # The images of an imported study may be elsewhere.
        return None


def _layers(stage: Stage, shape: Shape | None, mask: "Mapping[str, Tensor]") -> list[dict[str, Any]] | None:
    """Return the prunable weights with their numbers, and how many the mask keeps; None if they are not known.

    They are in the order of the network, or of their names for one whose order is not known.
    """
    known = shape and layers.known(stage.network, shape.channels, shape.image_size, shape.classes)
    sizes = {layer.name: layer.size for layer in known.layers} if known else {}
    if mask:
        names = [*(name for name in sizes if name in mask), *sorted(name for name in mask if name not in sizes)]
        return [{"name": name, "size": mask[name].numel(), "kept": int(mask[name].sum())} for name in names]
    return [{"name": name, "size": size, "kept": size} for name, size in sizes.items()] or None


def _input(stage: Stage, home: Path) -> dict[str, Any] | None:
    """Return how images become what the network expects; None where the images are not prepared on this machine."""
    from torch import device

    from data.datasets.loading import load_images
    from engine.training.augment import to_device

    images = stage.images
    try:
        ready = registry.is_bundled(images.name) or registry.cached_file(images.name, images.identity, home).exists()
        if not ready:
            return None
        placed = to_device(load_images(images, home), "none", device("cpu"))
    except registry.DatasetError:
        return None
    return {
        "layout": "(images, channels, height, width)",
        "pixels": "0 to 255, times scale plus shift, for each channel",
        "scale": placed.scale.flatten().tolist(),
        "shift": placed.shift.flatten().tolist(),
    }
