"""Hours for all figures of the paper on one device, from measured speeds: python -m benchmarks.paper_cost FILE."""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.written import write
from engine.paper import figures as paper
from engine.paper import studies
from engine.study.plan import Stage, plan
from engine.study.spec import Study

# Of CIFAR-10 and CIFAR-100, which all figures train on.
TRAIN = 50_000


def epochs(stages: Iterable[Stage]) -> Counter[str]:
    """Return how many epochs some stages train, by network."""
    found: Counter[str] = Counter()
    for stage in stages:
        found[stage.network] += stage.epochs
    return found


def work() -> dict[str, Counter[str]]:
    """Return the epochs by network of all figures, by how far equal work is done once.

    Everywhere; within each figure; or nowhere, where each cell of each figure trains a dense network of its own, and
    what is pruned in rounds all of the rounds before it.
    """
    figures = [_planned(studies.study(figure.id)) for figure in paper.FIGURES.values()]
    nowhere = (_with_ancestors(stage, stages) for stages in figures for stage in stages.values())
    return {
        "everywhere": epochs(_planned(studies.study(paper.ALL)).values()),
        "within figures": sum((epochs(stages.values()) for stages in figures), Counter()),
        "nowhere": sum((epochs(chain) for chain in nowhere), Counter()),
    }


def _planned(study: Study) -> Mapping[str, Stage]:
    # How much is equal depends on which datasets are, not on what they hold.
    return plan(study, {dataset: dataset for dataset in study.datasets}).stages


def _with_ancestors(stage: Stage, stages: Mapping[str, Stage]) -> list[Stage]:
    return [stage, *(_with_ancestors(stages[stage.parent], stages) if stage.parent else ())]


def seconds_per_epoch(measured: Sequence[Mapping[str, Any]], which: str, precision: str) -> dict[str, float]:
    """Return the seconds of an epoch of 50,000 images by network; which: "ours" or "plain" of benchmarks.training."""
    return {
        row["network"]: row[which]["seconds_per_epoch"] * TRAIN / row["train_images"]
        for row in measured
        if row["precision"] == precision
    }


def hours(work: Mapping[str, int], speeds: Mapping[str, float]) -> float:
    """Return the hours of some epochs by network; KeyError, with the network, where its speed was not measured."""
    return sum(count * speeds[network] for network, count in work.items()) / 3600


def main() -> None:
    """Show the hours, and write them down where told to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_cost", description=__doc__)
    parser.add_argument("speeds", type=Path, metavar="FILE", help="what python -m benchmarks.training --json wrote")
    parser.add_argument("--json", type=Path, nargs="?", const=Path(), help="write a file, under results/ unless named")
    given = parser.parse_args()
    speeds = json.loads(given.speeds.read_text(encoding="utf-8"))
    needed = work()
    shown = Table(title=f"hours for all figures of the paper on one {speeds['device']}, equal work done once ...")
    for column in ("loop", "precision", *(f"... {where}" for where in needed)):
        shown.add_column(column, justify="left" if column in ("loop", "precision") else "right")
    rows: list[dict[str, Any]] = []
    precisions = list(dict.fromkeys(row["precision"] for row in speeds["measured"]))
    for loop, precision in [("plain", precisions[0]), *(("ours", one) for one in precisions)]:
        found = seconds_per_epoch(speeds["measured"], loop, precision)
        if missing := sorted(set(needed["everywhere"]) - set(found)):
            parser.error(f"{given.speeds} has no speed of {', '.join(missing)}; measure those networks too")
        taken = {where: hours(counted, found) for where, counted in needed.items()}
        rows.append({"loop": loop, "precision": "fp32" if loop == "plain" else precision, "hours": taken})
        shown.add_row(loop, rows[-1]["precision"], *(f"{one:,.0f}" for one in taken.values()))
    console = Console(width=110)
    console.print("epochs: " + ", ".join(f"{sum(counted.values()):,} {where}" for where, counted in needed.items()))
    console.print(shown)
    device = torch.device("cpu" if speeds["device"] == "cpu" else "cuda")
    figures = {"speeds": given.speeds.name, "epochs": needed, "hours": rows}
    write("paper_cost", given.json, device, ("torch",), figures, console)


if __name__ == "__main__":
    main()
