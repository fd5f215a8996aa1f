"""Trains the paper's main figure 2 in a process of its own, seed after seed, until it is asked to stop."""

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu import child
from benchmarks.gpu.design import RATES, STARTS, Design, from_json
from data.artifacts.store import Artifacts
from data.atomic import write_whole
from data.datasets.registry import identity
from data.settings import settings
from engine.paper import studies
from engine.study.plan import Plan, plan
from engine.study.results import StageResult
from engine.study.spec import Study, parse_study, to_toml
from tasks import progress
from tasks.worker.local import Stopped, run

FIGURE = "main-fig2"
# A line about epochs follows the last one after this many seconds.
BETWEEN_LINES = 10.0


def study(task: dict[str, Any], design: Design) -> Study:
    """Return the study of a design: the figure's, with fine-tuning beside its starts."""
    paper = studies.study(FIGURE, data=task["images"])
    recipe = {**paper.recipe.model_dump(), "epochs": task["epochs"], "precision": task["precision"]}
    return parse_study(
        {
            **paper.model_dump(exclude_none=True, exclude={"parts", "admm"}),
            "name": "Main figure 2, with fine-tuning",
            "learning_rates": RATES,
            "starts": STARTS,
            "sparsities": design.sparsities,
            "round_rate": design.round_rate,
            "seeds": tuple(range(design.seeds)),
            "train_images": task["train"],
            "test_images": task["test"],
            "recipe": {name: value for name, value in recipe.items() if value is not None},
        }
    )


class Figure:
    """The results of a study that is being trained, in a file that is written anew as each training ends."""

    def __init__(self, file: Path, planned: Plan, artifacts: str) -> None:
        self._file, self._plan, self._store = file, planned, Artifacts(artifacts)
        self._results: dict[str, StageResult] = {}
        self._epochs: dict[str, int] = {}
        self._said = time.monotonic()
        for fingerprint in self._store.finished() & planned.stages.keys():
            self._add(fingerprint)
        self.write()

    def epoch(self, fingerprint: str, epoch: int) -> None:
        """Note how many epochs of a stage are trained, and say so now and then."""
        self._epochs[fingerprint] = epoch
        if time.monotonic() - self._said > BETWEEN_LINES:
            self._said = time.monotonic()
            child.say({"line": self._state()})

    def ended(self, fingerprint: str, why: str | None) -> None:
        """Add the result of a stage, and say what it is."""
        name = progress.name(self._plan.stages[fingerprint])
        if why is None:
            self._add(fingerprint)
            self.write()
            name = f"{name}: {progress.outcome(self._results[fingerprint])}"
        child.say({"line": f"{'done' if why is None else 'failed'}: {name}{'' if why is None else f': {why}'}"})

    def write(self) -> None:
        """Write the study and all results so far."""
        results = {fingerprint: result.to_json() for fingerprint, result in self._results.items()}
        images = {stage.images.name: stage.images.identity for stage in self._plan.stages.values()}
        values = {"toml": to_toml(self._plan.study), "identities": images, "results": results}
        write_whole(self._file, json.dumps(values).encode())
        child.say({"done": len(self._results), "of": len(self._plan.stages), "seeds": len(self._plan.study.seeds)})

    def _add(self, fingerprint: str) -> None:
        if (result := self._store.result(fingerprint)) is not None:
            self._results[fingerprint] = result

    def _state(self) -> str:
        trained = sum(epoch for name, epoch in self._epochs.items())
        total = sum(stage.epochs for stage in self._plan.stages.values())
        return f"{len(self._results)} of {len(self._plan.stages)} trainings done, {trained:,} of {total:,} epochs"


def train(task: dict[str, Any]) -> None:
    """Train the design, and then a seed more at a time; Stopped after SIGTERM, with all trainings saved."""
    design = from_json(task["design"])
    config = settings().model_copy(update={"together": task["together"], "threads": 1})
    identities = {task["images"]: identity(task["images"], config.home)}
    while design.seeds <= task["most_seeds"]:
        planned = plan(study(task, design), identities)
        figure = Figure(Path(task["file"]), planned, task["artifacts"])
        run(planned, task["artifacts"], config, [task["device"]], figure.epoch, figure.ended)
        design = Design(design.sparsities, design.round_rate, design.seeds + 1)


def main() -> None:
    """Train until all is done or the time is up."""
    try:
        train(child.task())
    except Stopped:
        child.say({"line": "stopped; what is in training is saved, and the same command continues it"})


if __name__ == "__main__":
    main()
