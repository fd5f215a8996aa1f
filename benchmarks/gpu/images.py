"""Makes the images of a run ready in a process of its own: unpacked, decoded and cached, as a dataset `folder:`."""

import os
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from PIL import Image

from benchmarks import results_io
from benchmarks.fixtures import images
from benchmarks.gpu import child
from benchmarks.options import ENLARGED
from engine.dataset import Dataset

SPLITS = ("train", "test")


def prepared(data: Path | None, work: Path) -> str:
    """Return the name of the dataset: of a folder, of an archive that is unpacked below work, or of enlarged digits.

    FileNotFoundError for a folder or archive without train/ and test/.
    """
    if data is not None and data.is_dir():
        return f"folder:{_with_splits(data)}"
    folder = work / "images"
    if not folder.exists():
        aside = work / "images.part"
        shutil.rmtree(aside, ignore_errors=True)
        if data is None:
            _write(images(ENLARGED, work / "home", None, None), aside)
        else:
            _unpack(data, aside)
        aside.rename(folder)
    return f"folder:{_with_splits(folder)}"


def _with_splits(folder: Path) -> Path:
    """Return the folder itself, or the first one in it, that has train/ and test/."""
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if all((place / split).is_dir() for split in SPLITS):
            return place.resolve()
    raise FileNotFoundError(f"{folder} has no folders train and test with a folder for each class; give another --data")


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the files of a tar by several threads, since writing 60,000 small files takes longer than reading them."""
    with tarfile.open(archive) as files, ThreadPoolExecutor(os.cpu_count()) as pool:
        written = []
        for member in files:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                raise ValueError(f"{archive} has a file {member.name!r} outside its folder; take another archive")
            if member.isdir():
                (folder / name).mkdir(parents=True, exist_ok=True)
            elif member.isreg() and (content := files.extractfile(member)) is not None:
                written.append(pool.submit(_write_file, folder / name, content.read()))
        for done in written:
            done.result()


def _write_file(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except FileNotFoundError:
        # Not every archive lists its folders.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _write(dataset: Dataset, folder: Path) -> None:
    for split, pixels, labels in zip(
        SPLITS, (dataset.train_images, dataset.test_images), (dataset.train_labels, dataset.test_labels), strict=True
    ):
        for number, (image, label) in enumerate(zip(pixels.numpy(), labels.tolist(), strict=True)):
            place = folder / split / dataset.classes[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:05}.png")


def setup(device: torch.device) -> dict[str, Any]:
    """Return the date, the hardware and the versions of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        **results_io.stamp("python -m benchmarks.gpu"),
        "device": name,
        "kind": device.type,
        "torch": torch.__version__,
    }


def main() -> None:
    """Say what this machine is, then make the images ready and say what they are."""
    task = child.task()
    device = torch.device(task["device"] or ("cuda" if torch.cuda.is_available() else "cpu"))
    child.say({"setup": setup(device)})
    # Decoding uses all cores, PyTorch's own threads none of them.
    torch.set_num_threads(os.cpu_count() or 1)
    name = prepared(Path(task["data"]) if task["data"] else None, Path(task["work"]))
    dataset = images(name, Path(task["home"]), None, None)
    shape = {"size": dataset.image_size, "channels": dataset.channels, "classes": len(dataset.classes)}
    child.say({"images": {"name": name, "train": len(dataset.train_labels), "test": len(dataset.test_labels), **shape}})


if __name__ == "__main__":
    main()
