"""How many hours do all figures of the paper take on one device? python -m benchmarks.paper_cost FILE."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import options, results_io
from benchmarks.fixtures import TRAIN, planned
from engine.paper import figures as paper
from engine.paper import studies
from engine.study.plan import Stage


def epochs(stages: Iterable[Stage]) -> Counter[str]:
    """Return how many epochs some stages train, by network."""
    totals: Counter[str] = Counter()
    for stage in stages:
        totals[stage.network] += stage.epochs
    return totals


def work() -> dict[str, Counter[str]]:
    """Return the epochs of all figures by network, for each extent to which equal work is done once.

    "everywhere"; "within figures", each by itself; or "nowhere": each point of each figure trains its own dense network
    and its own earlier rounds.
    """
    figures = [planned(studies.study(figure.id)).stages for figure in paper.FIGURES.values()]
    nowhere = (_with_ancestors(stage, stages) for stages in figures for stage in stages.values())
    return {
        "everywhere": epochs(planned(studies.study(paper.ALL)).stages.values()),
        "within figures": sum((epochs(stages.values()) for stages in figures), Counter()),
        "nowhere": sum((epochs(chain) for chain in nowhere), Counter()),
    }


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
    """Return the hours of some epochs by network; KeyError for a network without a measured speed."""
    return sum(count * speeds[network] for network, count in work.items()) / 3600


def main() -> None:
    """Show the hours, and write them to the file of --json."""
    parser = options.parser("paper_cost", __doc__)
    parser.add_argument("speeds", type=Path, metavar="FILE", help="what python -m benchmarks.training --json wrote")
    arguments = parser.parse_args()
    speeds = results_io.read(arguments.speeds)
    epochs_by_extent = work()
    rows: list[dict[str, Any]] = []
    precisions = list(dict.fromkeys(row["precision"] for row in speeds["measured"]))
    for loop, precision in [("plain", precisions[0]), *(("ours", name) for name in precisions)]:
        per_epoch = seconds_per_epoch(speeds["measured"], loop, precision)
        if missing := sorted(set(epochs_by_extent["everywhere"]) - set(per_epoch)):
            parser.error(f"{arguments.speeds} has no speed of {', '.join(missing)}; measure those networks too")
        taken = {extent: hours(epochs, per_epoch) for extent, epochs in epochs_by_extent.items()}
        rows.append({"loop": loop, "precision": "fp32" if loop == "plain" else precision, "hours": taken})
    title = f"hours for all figures of the paper on one {speeds['device']}, equal work done once ..."
    cells = (
        {"loop": row["loop"], "in": row["precision"]}
        | {f"... {extent}": f"{taken:,.0f}" for extent, taken in row["hours"].items()}
        for row in rows
    )
    results_io.show(
        "epochs: " + ", ".join(f"{sum(epochs.values()):,} {extent}" for extent, epochs in epochs_by_extent.items()),
        results_io.table(title, cells, left=("loop", "in")),
    )
    device = torch.device("cpu" if speeds["device"] == "cpu" else "cuda")
    results_io.write(
        "paper_cost", arguments, {"speeds": arguments.speeds.name, "epochs": epochs_by_extent, "hours": rows}, device
    )


if __name__ == "__main__":
    main()
