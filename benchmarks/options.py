"""What the benchmarks of training ask on the command line, each under one name."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.registry import NETWORKS

# Digits of 8 x 8 pixels in CIFAR's shape: real images that are there without a download.
ENLARGED = "digits32"
PRECISIONS = ("fp32", "bf16")


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark of a device takes: --device and --json."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    made.add_argument("--device", help="cpu, cuda or one GPU such as cuda:0; the GPU where there is one")
    made.add_argument("--json", type=Path, nargs="?", const=Path(), help="write a file, under results/ unless named")
    return made


def device(given: argparse.Namespace) -> torch.device:
    """Return the device that was asked for."""
    return torch.device(given.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def add_networks(to: argparse.ArgumentParser, chosen: Sequence[str] = tuple(NETWORKS)) -> None:
    """Add --network."""
    to.add_argument("--network", nargs="+", choices=sorted(NETWORKS), default=list(chosen))


def add_precisions(to: argparse.ArgumentParser, chosen: Sequence[str] = PRECISIONS) -> None:
    """Add --precision."""
    to.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(chosen), help="of ours")


def add_images(to: argparse.ArgumentParser, train: int | None = None, test: int | None = None) -> None:
    """Add --data, --train-images and --test-images."""
    to.add_argument("--data", default=ENLARGED, help=f"{ENLARGED}, or a dataset as in a study")
    to.add_argument("--train-images", type=int, default=train, help="so many, of all classes alike; left out, all")
    to.add_argument("--test-images", type=int, default=test)
