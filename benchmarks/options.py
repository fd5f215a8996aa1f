"""The options of the benchmarks, each under one name."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.registry import NETWORKS

# Digits of 8 x 8 pixels in CIFAR's shape: real images that need no download.
ENLARGED = "digits32"
PRECISIONS = ("fp32", "bf16")
# The networks of all results in results/: one of each kind.
MEASURED = ("resnet20", "vgg11", "mobilenet_v2", "lenet300")


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with --json."""
    options = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    options.add_argument("--json", type=Path, nargs="?", const=Path(), help="write a file, under results/ unless named")
    return options


def add_device(to: argparse.ArgumentParser, threads: int | None = 1) -> None:
    """Add --device and --threads; threads: the default, None for as many as PyTorch takes."""
    to.add_argument("--device", help="cpu, cuda or one GPU such as cuda:0; the GPU where there is one")
    to.add_argument("--threads", type=int, default=threads, help="PyTorch's threads")


def device(arguments: argparse.Namespace) -> torch.device:
    """Return the requested device."""
    return torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def add_networks(to: argparse.ArgumentParser, chosen: Sequence[str] = MEASURED) -> None:
    """Add --network."""
    to.add_argument("--network", nargs="+", choices=sorted(NETWORKS), default=list(chosen))


def add_precisions(to: argparse.ArgumentParser, chosen: Sequence[str] = PRECISIONS) -> None:
    """Add --precision."""
    to.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(chosen), help="of the engine")


def add_images(to: argparse.ArgumentParser, train: int | None = None, test: int | None = None) -> None:
    """Add --data, --train-images, --test-images and --batch-size."""
    to.add_argument("--data", default=ENLARGED, help=f"{ENLARGED}, or a dataset as in a study")
    to.add_argument("--train-images", type=int, default=train, help="number, the same for every class; left out, all")
    to.add_argument("--test-images", type=int, default=test)
    to.add_argument("--batch-size", type=int, default=128)


def add_loaders(to: argparse.ArgumentParser) -> None:
    """Add --loaders."""
    to.add_argument("--loaders", type=int, default=2, help="processes in which the plain loop loads images")
