"""The benchmark of parity: accuracies over seeds, and the interval of their difference."""

from pathlib import Path

import torch

from benchmarks import parity
from benchmarks.fixtures import images
from benchmarks.options import ENLARGED

CPU = torch.device("cpu")


def test_both_loops_learn_and_their_difference_has_an_interval(home: Path) -> None:
    dataset = images(ENLARGED, home, 300, 200)
    row = parity.measure(
        *("lenet300", dataset, CPU),
        **{"rate": 0.05, "epochs": 6, "batch_size": 16, "seeds": range(2), "loaders": 0, "threads": 1},
    )
    for loop, accuracies in row["test_accuracy"].items():
        # Guessing one of ten classes gives 10 %.
        assert min(accuracies) > 40, loop
        assert len(set(accuracies)) == 2, loop
    gap = row["less_plain"]["fp32"]
    assert gap["low"] < gap["mean"] < gap["high"]
    assert parity.difference([3.0, 5.0], [1.0, 1.0]).mean == 3
    assert parity.table([row]).row_count == 1
