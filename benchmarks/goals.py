"""The goals for a GPU and what of them is measured; python -m benchmarks.goals writes both into docs/team.md."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import marked

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TEAM = ROOT / "docs" / "team.md"
BEGIN, END = "<!-- goals: python -m benchmarks.goals -->", "<!-- end of goals -->"
# An epoch of CIFAR, to which the seconds of other numbers of images are scaled.
TRAIN = 50_000


@dataclass(frozen=True)
class Goal:
    """A goal: at most, or at least, so many of a unit; key: of the measurement in `measured`."""

    key: str
    title: str
    value: float
    unit: str
    at_least: bool = False

    @property
    def text(self) -> str:
        """The goal in words."""
        return f"at {'least' if self.at_least else 'most'} {self.value:g} {self.unit}"

    def met(self, value: float) -> bool:
        """Return whether a measurement meets the goal."""
        return value >= self.value if self.at_least else value <= self.value


def _seconds(network: str, title: str, beside: float, alone: float) -> tuple[Goal, Goal]:
    unit = "s per network and epoch"
    return (
        Goal(f"beside/{network}", f"{title}, side by side", beside, unit),
        Goal(f"alone/{network}", f"{title}, alone", alone, unit),
    )


# For an H200 and batches of 128; an epoch has 50,000 training images, and evaluation and all else is included.
GOALS = (
    *_seconds("resnet20", "ResNet-20", 0.12, 0.2),
    *_seconds("vgg11", "VGG-11", 0.12, 0.2),
    *_seconds("mobilenet_v2", "MobileNet-V2", 0.6, 0.9),
    Goal("ratio/resnet20", "ResNet-20 against the plain loop", 20, "times as fast", at_least=True),
    Goal("hours", "all figures of the paper, `paper:all`", 70, "GPU-hours"),
)


def measured(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the measurements of the goals by key, of the faster precision, from the results of `benchmarks.gpu`."""
    images = (values.get("settings") or {}).get("train_images") or TRAIN
    best: dict[str, float] = {}
    plain: dict[str, float] = {}
    for case in (values.get("cases") or {}).values():
        timed = "seconds_per_epoch" in case and not case.get("provisional")
        if case["kind"] not in ("engine", "plain") or not timed:
            continue
        seconds = case["seconds_per_epoch"]["median"] * TRAIN / images
        if case["kind"] == "plain":
            plain[case["network"]] = seconds
            continue
        key = f"{'alone' if case['together'] == 1 else 'beside'}/{case['network']}"
        best[key] = min(seconds, best.get(key, seconds))
    for network, seconds in plain.items():
        ours = [best[key] for key in (f"alone/{network}", f"beside/{network}") if key in best]
        if ours:
            best[f"ratio/{network}"] = seconds / min(ours)
    if (hours := (values.get("end") or {}).get("paper_hours")) is not None:
        best["hours"] = hours
    return best


def table(found: Mapping[str, float], where: str) -> list[str]:
    """Return the goals as lines of a Markdown table; where: the device of the measurements, in words."""
    lines = [f"| | goal | measured{f' ({where})' if where else ''} | |", "|---|---|--:|---|"]
    for goal in GOALS:
        value = found.get(goal.key)
        outcome = "" if value is None else "met" if goal.met(value) else "missed"
        lines.append(
            f"| {goal.title} | {goal.text} | {'not measured' if value is None else f'{value:.3g}'} | {outcome} |"
        )
    return lines


def latest(results: Path = RESULTS) -> tuple[dict[str, float], str]:
    """Return the newest measurements of `benchmarks.gpu` on a GPU with their device; none where there are none."""
    for file in sorted(results.glob("gpu-cuda-*.json"), reverse=True):
        values = json.loads(file.read_text(encoding="utf-8"))
        return measured(values), f"{values['setup']['device']}, {values['setup']['date'][:10]}"
    return {}, ""


def main() -> None:
    """Write the table into docs/team.md; with --check, only exit with 1 if it is out of date."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goals", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only exit with 1 if the table is out of date")
    arguments = parser.parse_args()
    document = TEAM.read_text(encoding="utf-8")
    fresh = marked.updated(document, BEGIN, END, table(*latest()))
    if arguments.check:
        sys.exit(fresh != document)
    TEAM.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
