"""The handwritten digits that scikit-learn includes (UCI optical recognition of handwritten digits)."""

import hashlib
import warnings
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from data.datasets.source import DatasetError, Progress
from engine.dataset import Dataset

# The last of the 1,797 images are the test set. Neighbouring digits are apparently by one writer, and a network scores
# 5 points higher on a random test set.
TEST = 360
CONTENT = "a79e829c01a4795ad6bf65dcd9af3f7f"


def read(folder: Path, progress: Progress) -> Dataset:
    """Return the digits, with grey levels scaled from 0 to 16 to 0 to 255, without a download."""
    del folder
    # This import comes late, because it takes seconds and the images are read only once.
    import torch

    file = _file()
    try:
        with warnings.catch_warnings(action="error"):
            # NumPy only warns of a file without rows.
            rows = torch.from_numpy(np.loadtxt(file, delimiter=","))
        progress("reading digits", len(rows), len(rows))
        pixels = rows[:, :-1].reshape(-1, 8, 8, 1).mul(255 / 16).round().to(torch.uint8)
    except (OSError, EOFError, ValueError, RuntimeError, IndexError, UserWarning, zlib.error) as error:
        raise DatasetError(f"{file} is damaged: {error}; install scikit-learn anew") from error
    targets = rows[:, -1].to(torch.int64)
    content = hashlib.blake2b(pixels.numpy().tobytes() + targets.numpy().tobytes(), digest_size=16).hexdigest()
    if content != CONTENT:
        raise DatasetError(
            f"this scikit-learn includes other digits (content {content}, expected {CONTENT}); "
            "install the version in requirements.txt"
        )
    return Dataset(pixels[:-TEST], targets[:-TEST], pixels[-TEST:], targets[-TEST:], tuple("0123456789"))


def _file() -> Path:
    """Return scikit-learn's file of digits: in each row 64 grey levels and the label."""
    # The package is not imported, because that takes two seconds.
    package = find_spec("sklearn")
    file = Path(package.origin or "").with_name("datasets") / "data" / "digits.csv.gz" if package else None
    if file is None or not file.exists():
        raise DatasetError(
            "the digits are missing, which scikit-learn includes; install the version in requirements.txt"
        )
    return file
