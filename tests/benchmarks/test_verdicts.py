"""The benchmark of verdicts: its output, its counts of wrong verdicts, and that it repeats."""

import json
import subprocess
from pathlib import Path

from benchmarks.verdicts import DEVIATIONS, SEEDS, rows, simulate, wrong_by_claim
from tasks.process import ROOT, python


def test_the_command_prints_a_table_for_each_world_and_writes_every_row(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.json"
    command = python("-m", "benchmarks.verdicts", "--repetitions", "3", "--world", "mask_only", "--json", str(file))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "fine-tuned weights that know only the mask" in done.stdout
    assert "Wrong at most 0.0 %" in done.stdout
    written = json.loads(file.read_text())
    assert {"date", "command", "cpu", "python", "versions", "repetitions", "rows"} <= written.keys()
    assert len(written["rows"]) == len(SEEDS) * len(DEVIATIONS)
    for row in written["rows"]:
        assert row["claim"] == "F1"
        assert not row["true"]
        assert row["holds"] + row["fails"] + row["undecided"] == 1


def test_the_same_world_gives_the_same_counts() -> None:
    key = ("alone", 3, 0.2)
    assert simulate(key, 4) == simulate(key, 4)


def test_a_verdict_is_wrong_if_a_false_claim_holds_or_a_true_one_fails() -> None:
    counts = dict([simulate(("barely_false", 3, 0.3), 4), simulate(("barely_true", 3, 0.3), 4)])
    shares = list(rows(counts))
    for row in shares:
        assert row["wrong"] == row["fails" if row["true"] else "holds"]
    assert all(0 <= share <= 1 for share in wrong_by_claim(shares).values())
