"""How often verdicts are wrong, and how often they see what is true: runs simulated of worlds whose truth is known."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import ROOT, stamp
from benchmarks.worlds import WORLDS, runs, truth
from engine.claims import CLAIMS, evaluate

SEEDS = (3, 5, 10)
DEVIATIONS = (0.1, 0.2, 0.3)
# What is to be met: the most that a verdict may be wrong, and the least that a true claim of the paper's own story
# holds, at the paper's five seeds and a run's standard deviation of 0.2 points.
WRONG, POWER = 0.05, 0.8
PAPERS = {"worlds": ("paper", "paper100"), "seeds": 5, "deviation": 0.2}

# World, seeds, standard deviation of a run in points.
Key = tuple[str, int, float]
# By claim and whether it is true there: how often each verdict came.
Counts = dict[tuple[str, bool], Counter[str]]


def simulate(key: Key, repetitions: int) -> tuple[Key, Counts]:
    """Return how often each verdict comes in a world, seeded by the world's name and settings."""
    name, seeds, deviation = key
    world = WORLDS[name]
    draw = np.random.default_rng([sum(map(ord, name)), seeds, round(100 * deviation)])
    counts: Counts = {}
    for _ in range(repetitions):
        for verdict in evaluate(*runs(world, seeds, deviation, draw), claims=world.claims):
            if not verdict.control and verdict.outcome != "missing":
                counts.setdefault((verdict.claim, truth(world, verdict)), Counter())[verdict.outcome] += 1
    return key, counts


def rows(found: Mapping[Key, Counts]) -> Iterator[dict[str, object]]:
    """Yield for each world, claim, n and deviation how often each verdict came, as fractions."""
    for (name, seeds, deviation), counts in found.items():
        for (claim, true), outcomes in sorted(counts.items(), key=lambda item: (list(CLAIMS).index(item[0][0]), item)):
            total = sum(outcomes.values())
            shares = {outcome: outcomes[outcome] / total for outcome in ("holds", "fails", "undecided")}
            wrong = shares["fails" if true else "holds"]
            yield {"world": name, "claim": claim, "true": true, "seeds": seeds, "deviation": deviation,
                   "verdicts": total, **shares, "wrong": wrong}  # fmt: skip


def wrong_by_claim(table: list[dict[str, object]]) -> dict[tuple[str, str, bool], float]:
    """Return how often a verdict is wrong in a world, over all numbers of seeds and deviations."""
    wrong: dict[tuple[str, str, bool], list[float]] = {}
    for row in table:
        key = (str(row["world"]), str(row["claim"]), bool(row["true"]))
        sums = wrong.setdefault(key, [0.0, 0.0])
        sums[0] += float(row["wrong"]) * int(row["verdicts"])  # type: ignore[arg-type, call-overload]
        sums[1] += int(row["verdicts"])  # type: ignore[call-overload]
    return {key: count / total for key, (count, total) in wrong.items()}


def show(table: list[dict[str, object]], console: Console) -> bool:
    """Print the tables; return whether all that is to be met is met."""
    power = [
        row
        for row in table
        if row["true"] and row["world"] in PAPERS["worlds"] and row["seeds"] == PAPERS["seeds"]  # type: ignore[operator]
        and row["deviation"] == PAPERS["deviation"]
    ]  # fmt: skip
    wrong = wrong_by_claim(table)
    for name in dict.fromkeys(str(row["world"]) for row in table):
        printed = Table(title=f"{name}: {WORLDS[name].title}", title_justify="left")
        for column in ("claim", "truth", *(f"n={n} sd={sd:g}" for n in SEEDS for sd in DEVIATIONS), "wrong"):
            printed.add_column(column, justify="left" if column == "claim" else "right", no_wrap=True)
        mine = [row for row in table if row["world"] == name]
        for claim, true in dict.fromkeys((str(row["claim"]), bool(row["true"])) for row in mine):
            cells = {
                (row["seeds"], row["deviation"]): f"{100 * float(row['holds']):.0f}/{100 * float(row['fails']):.0f}"  # type: ignore[arg-type]
                for row in mine
                if (row["claim"], row["true"]) == (claim, true)
            }
            share = wrong[name, claim, true]
            printed.add_row(
                claim, "true" if true else "false", *(cells.get((n, sd), "-") for n in SEEDS for sd in DEVIATIONS),
                f"{100 * share:.1f} %" + " !" * (share > WRONG),
            )  # fmt: skip
        console.print(printed)
    console.print(
        "Cells: holds/fails in percent of the verdicts; the rest is undecided. n: seeds; sd: of a run, in points."
    )
    worst = max(wrong, key=lambda key: wrong[key])
    console.print(f"Wrong at most {100 * wrong[worst]:.1f} % ({worst[1]} in {worst[0]}); allowed {100 * WRONG:g} %.")
    least = min(power, key=lambda row: float(row["holds"]), default=None)  # type: ignore[arg-type]
    if least is not None:
        console.print(
            f"The paper's story at n = 5, sd = 0.2: every true claim holds in {100 * float(least['holds']):.0f} % or "  # type: ignore[arg-type]
            f"more ({least['claim']} in {least['world']}); asked {100 * POWER:g} %."
        )
    return wrong[worst] <= WRONG and (least is None or float(least["holds"]) >= POWER)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=100, help="simulated studies of each world, n and deviation")
    parser.add_argument("--world", nargs="+", choices=sorted(WORLDS), default=list(WORLDS))
    parser.add_argument("--json", type=Path, nargs="?", const=Path(), help="write a file, under results/ unless named")
    options = parser.parse_args()
    console = Console(width=150)
    keys = [(name, seeds, deviation) for name in options.world for seeds in SEEDS for deviation in DEVIATIONS]
    begin = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(partial(simulate, repetitions=options.repetitions), keys)
        found = dict(track(done, "simulating", len(keys), console=Console(stderr=True)))
    seconds = time.perf_counter() - begin
    table = list(rows(found))
    met = show(table, console)
    console.print(f"{options.repetitions} studies each, {seconds:.0f} s")
    if options.json is not None:
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        out = ROOT / "benchmarks" / "results" / f"verdicts-{day}.json" if options.json == Path() else options.json
        command = " ".join(["python -m benchmarks.verdicts", *sys.argv[1:]])
        about = {**stamp(command, ("numpy", "scipy")), "repetitions": options.repetitions, "seconds": round(seconds)}
        rounded = [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in table]
        out.write_text(
            json.dumps({**about, "rows": rounded}, indent=None, separators=(",", ":")) + "\n", encoding="utf-8"
        )
        console.print(f"wrote {out}", soft_wrap=True, highlight=False)
    sys.exit(not met)


if __name__ == "__main__":
    main()
