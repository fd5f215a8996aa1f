"""Images of horizontal or vertical stripes, drawn here."""

import hashlib
from pathlib import Path

import torch

from data.datasets.registry import DATASETS
from data.datasets.source import Progress, Source
from engine.dataset import Dataset, Shape


def read(folder: Path, progress: Progress) -> Dataset:
    """Return the images; a dataset that is downloaded would be saved in the folder."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 2
    noise = torch.randint(0, 80, (300, 8, 8, 1), generator=draws)
    across = 100 * (torch.arange(8) % 2).view(1, 8, 1, 1)
    pixels = noise + torch.where(labels.view(-1, 1, 1, 1) == 0, across, across.transpose(1, 2))
    progress("drawing stripes", 300, 300)
    pixels = pixels.to(torch.uint8)
    return Dataset(pixels[:240], labels[:240], pixels[240:], labels[240:], ("across", "along"))


DATASETS["stripes"] = Source(
    title="Stripes",
    description="300 images of 8 x 8 grey pixels with stripes; no download",
    # Other files must have another identity, so that their images are never taken for these.
    identity=hashlib.blake2b(b"stripes", digest_size=16).hexdigest(),
    shape=Shape(channels=1, image_size=8, classes=2, train=240, test=60),
    read=read,
    bundled=True,
)
