"""How often is a verdict wrong in simulated worlds whose truth is known? python -m benchmarks.verdicts."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks import options, results_io
from benchmarks.worlds import WORLDS, runs, truth
from engine.claims import CLAIMS, evaluate

SEEDS = (3, 5, 10)
DEVIATIONS = (0.1, 0.2, 0.3)
# Limits: the largest share of wrong verdicts, and the smallest share in which a true claim of the paper's own story
# holds, at the paper's five seeds and a run's standard deviation of 0.2 points.
WRONG, POWER = 0.05, 0.8
PAPER_WORLDS, PAPER_SEEDS, PAPER_DEVIATION = ("paper", "paper100"), 5, 0.2

# World, seeds, standard deviation of a run in points.
Key = tuple[str, int, float]
# How often each verdict came, by claim and whether the claim is true in the world.
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


def rows(counts_by_key: Mapping[Key, Counts]) -> Iterator[dict[str, Any]]:
    """Yield the fraction of each verdict for each world, claim, number of seeds and deviation."""
    for (name, seeds, deviation), counts in counts_by_key.items():
        for (claim, true), outcomes in sorted(counts.items(), key=lambda item: (list(CLAIMS).index(item[0][0]), item)):
            total = sum(outcomes.values())
            shares = {outcome: outcomes[outcome] / total for outcome in ("holds", "fails", "undecided")}
            wrong = shares["fails" if true else "holds"]
            yield {"world": name, "claim": claim, "true": true, "seeds": seeds, "deviation": deviation,
                   "verdicts": total, **shares, "wrong": wrong}  # fmt: skip


def wrong_by_claim(rows: list[dict[str, Any]]) -> dict[tuple[str, str, bool], float]:
    """Return how often a verdict is wrong in a world, over all numbers of seeds and deviations."""
    wrong: Counter[tuple[str, str, bool]] = Counter()
    totals: Counter[tuple[str, str, bool]] = Counter()
    for row in rows:
        key = (row["world"], row["claim"], row["true"])
        wrong[key] += row["wrong"] * row["verdicts"]
        totals[key] += row["verdicts"]
    return {key: wrong[key] / total for key, total in totals.items()}


def table(name: str, rows: list[dict[str, Any]]) -> Table:
    """Return the verdicts in a world, holds/fails in percent, by claim, number of seeds and deviation."""
    mine = {(row["claim"], row["true"], row["seeds"], row["deviation"]): row for row in rows if row["world"] == name}
    wrong = wrong_by_claim(list(mine.values()))
    lines = []
    for claim, true in dict.fromkeys((claim, true) for claim, true, _, _ in mine):
        share = wrong[name, claim, true]
        line = {"claim": claim, "truth": "true" if true else "false"}
        for seeds in SEEDS:
            for deviation in DEVIATIONS:
                row = mine.get((claim, true, seeds, deviation))
                cell = f"{100 * row['holds']:.0f}/{100 * row['fails']:.0f}" if row else "-"
                line[f"n={seeds} sd={deviation:g}"] = cell
        lines.append(line | {"wrong": f"{100 * share:.1f} %" + " !" * (share > WRONG)})
    return results_io.table(f"{name}: {WORLDS[name].title}", lines, left=("claim",))


def show(rows: list[dict[str, Any]]) -> bool:
    """Print a table for each world and the limits; return whether both limits are met."""
    results_io.show(
        *(table(name, rows) for name in dict.fromkeys(row["world"] for row in rows)),
        "Cells: holds/fails in percent of the verdicts; the rest is undecided. n: seeds; sd: of a run, in points.",
    )
    wrong = wrong_by_claim(rows)
    worst = max(wrong, key=lambda key: wrong[key])
    results_io.show(f"Wrong at most {100 * wrong[worst]:.1f} % ({worst[1]} in {worst[0]}); allowed {100 * WRONG:g} %.")
    power = [
        row
        for row in rows
        if row["true"] and row["world"] in PAPER_WORLDS
        and (row["seeds"], row["deviation"]) == (PAPER_SEEDS, PAPER_DEVIATION)
    ]  # fmt: skip
    least = min(power, key=lambda row: float(row["holds"]), default=None)
    if least is None:
        return wrong[worst] <= WRONG
    results_io.show(
        f"The paper's story at n = {PAPER_SEEDS}, sd = {PAPER_DEVIATION}: every true claim holds in "
        f"{100 * least['holds']:.0f} % or more ({least['claim']} in {least['world']}); required {100 * POWER:g} %."
    )
    return wrong[worst] <= WRONG and least["holds"] >= POWER


def main() -> int:
    """Simulate what the command line names, show it and write it to --json's file; return 1 if a limit is not met."""
    parser = options.parser("verdicts", __doc__)
    parser.add_argument("--repetitions", type=int, default=100, help="simulated studies of each world, n and deviation")
    parser.add_argument("--world", nargs="+", choices=sorted(WORLDS), default=list(WORLDS))
    arguments = parser.parse_args()
    keys = [(name, seeds, deviation) for name in arguments.world for seeds in SEEDS for deviation in DEVIATIONS]
    begin = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        futures = [pool.submit(partial(simulate, repetitions=arguments.repetitions), key) for key in keys]
        counts = dict(future.result() for future in results_io.progress(futures))
    seconds = time.perf_counter() - begin
    shares = list(rows(counts))
    met = show(shares)
    results_io.show(f"{arguments.repetitions} studies each, {seconds:.0f} s")
    rounded = [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in shares]
    figures = {"repetitions": arguments.repetitions, "seconds": round(seconds), "rows": rounded}
    results_io.write("verdicts", arguments, figures)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
