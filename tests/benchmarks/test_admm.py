"""The benchmark of ADMM's first rho, on digits."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.admm import CONSTANT, studies
from engine.training.admm import automatic_rho

BASE = {
    "name": "Made up",
    "datasets": ["digits"],
    "networks": ["lenet300"],
    "learning_rates": [0.05],
    "sparsities": [0.5],
    "starts": ["finetune"],
    "seeds": [0],
    "recipe": {"epochs": 2, "batch_size": 32},
    "admm": {"rounds": 3, "period": 2},
}


def test_each_schedule_ends_at_the_constant_rho() -> None:
    schedules = studies(BASE, [0.1, 0.01], train_images=100)
    end = automatic_rho(0.05, 0.9, steps=2 * 4)
    assert list(schedules) == [CONSTANT, "from 0.1", "from 0.01"]
    assert schedules[CONSTANT].admm.rho is None
    assert [study.admm.rho_end for study in list(schedules.values())[1:]] == [end, end]
    assert [study.admm.rho_start for study in list(schedules.values())[1:]] == [0.1 * end, 0.01 * end]


def test_the_command_writes_a_row_for_each_sparsity_and_schedule(tmp_path: Path, home: Path) -> None:
    file = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.admm", "--data", "digits", "--network", "lenet300", "--epochs", "2"]
    command += ["--train-images", "100", "--rounds", "3", "--period", "1", "--sparsities", "0.5", "0.9"]
    subprocess.run(
        [*command, "--fractions", "0.01", "--finetune", "--json", str(file)], check=True, capture_output=True
    )
    results = json.loads(file.read_text())
    assert [(row["sparsity"], row["way"]) for row in results["measured"]] == [
        (sparsity, way) for sparsity in (0.5, 0.9) for way in (CONSTANT, "from 0.01")
    ]
    for row in results["measured"]:
        assert 0 <= row["moved"] <= 1
        assert len(row["residuals"]) == 3
        assert row["finetuned_accuracy"] > 0
    assert {"date", "command", "cpu", "cores", "versions"} <= results.keys()
