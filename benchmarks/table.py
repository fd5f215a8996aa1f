"""Writes the table of speeds in benchmarks/README.md from the latest results: python -m benchmarks.table [--check]."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import marked
from benchmarks.results_io import RESULTS, read
from engine.registry import network_title

README = RESULTS.parent / "README.md"
BEGIN, END = "<!-- speeds: python -m benchmarks.table -->", "<!-- end of speeds -->"


def latest(results: Path) -> list[Path]:
    """Return the newest training results of each hardware, by the dates in their names, GPUs before CPUs."""
    newest: dict[str, Path] = {}
    for file in sorted(results.glob("training-*.json"), reverse=True):
        newest.setdefault(_hardware(read(file)), file)
    return list(newest.values())


def speeds(file: Path, root: Path = README.parent) -> list[str]:
    """Return the lines of Markdown that show one file of results."""
    results = read(file)
    first = results["measured"][0]
    lines = [
        "| network | in | ours, images/s | plain loop, images/s | ratio (least-most) | test accuracy %, ours | plain |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in results["measured"]:
        ours, plain, ratio = row["ours"], row["plain"], row["ratio"]
        beside = f", {row['together']} concurrent" if row["together"] > 1 else ""
        lines.append(
            f"| {network_title(row['network'])} | {row['precision']}{beside} "
            f"| {ours['images_per_second']:,.0f} | {plain['images_per_second']:,.0f} "
            f"| {ratio['median']:.2f} ({ratio['least']:.2f}-{ratio['most']:.2f}) "
            f"| {ours['test_accuracy']:.1f} | {plain['test_accuracy']:.1f} |"
        )
    machine = f"{_hardware(results)}, PyTorch {results['versions']['torch']}, {results['date'][:10]}"
    epochs = (
        f"medians over {first['epochs'] - 1} epochs of {first['train_images']:,} images ({_images(results['data'])})"
    )
    included = f"evaluation of {first['test_images']:,} included, batches of {first['batch_size']}"
    shared = f"ours in {first['processes']} processes at once, " if first["processes"] > 1 else ""
    networks = first["processes"] * first["together"]
    accuracy = f"accuracy after {first['epochs']} epochs, n = {networks} of ours, one from the plain loop's weights"
    return [*lines, "", f"{machine}: {epochs}, {shared}{included}; {accuracy}. [{file.name}]({file.relative_to(root)})"]


def _hardware(results: Mapping[str, Any]) -> str:
    return results["device"] if results["device"] != "cpu" else f"{results['cpu']}, {results['threads']} threads"


def _images(data: str) -> str:
    return {"digits32": "digits enlarged to 32 x 32", "folder": "CIFAR-10"}.get(data, data)


def all_speeds(results: Path, root: Path = README.parent) -> list[str]:
    """Return the lines of all tables, with an empty line between two."""
    tables = [speeds(file, root) for file in latest(results)]
    return [line for number, lines in enumerate(tables) for line in ([""] if number else []) + lines]


def updated(readme: str, lines: Sequence[str]) -> str:
    """Return a README with the lines between its two marks; ValueError if they are missing."""
    return marked.updated(readme, BEGIN, END, lines)


def main() -> None:
    """Write the table into the README; with --check, only exit with 1 if it is out of date."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only exit with 1 if the table is out of date")
    arguments = parser.parse_args()
    readme = README.read_text(encoding="utf-8")
    fresh = updated(readme, all_speeds(RESULTS))
    if arguments.check:
        sys.exit(fresh != readme)
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
