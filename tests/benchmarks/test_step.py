"""The benchmark of a step: its time by operator."""

from pathlib import Path

import torch

from benchmarks import step
from benchmarks.fixtures import images
from benchmarks.options import ENLARGED
from engine.study.recipe import Recipe

CPU = torch.device("cpu")


def test_a_profile_lists_the_time_of_a_step_by_operator(home: Path) -> None:
    dataset, recipe = images(ENLARGED, home, 64, 10), Recipe(batch_size=32)
    plain = step.measure_plain("lenet300", dataset, CPU, recipe)
    ours = step.measure("lenet300", "fp32", dataset, CPU, recipe, 2)
    for row in (plain, ours):
        times = list(row["operators"].values())
        assert times == sorted(times, reverse=True)
        assert 0 < sum(times) <= row["milliseconds"]
        assert row["steps"] == 2
    assert any("addmm" in operator for operator in ours["operators"])
    # The plain loop prepares its images during the step.
    assert any("DataLoader" in operator for operator in plain["operators"])
    assert step.table([plain, ours]).row_count == len(plain["operators"]) + len(ours["operators"]) + 2
