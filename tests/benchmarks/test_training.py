"""The benchmark of training: both loops train the same network, and its arithmetic is right."""

from pathlib import Path

import pytest
import torch

from benchmarks import training
from benchmarks.fixtures import images
from benchmarks.options import ENLARGED

CPU = torch.device("cpu")


def test_both_loops_train_the_same_network_and_learn(home: Path) -> None:
    dataset = images(ENLARGED, home, 256, 100)
    assert tuple(dataset.train_images.shape) == (256, 32, 32, 3)
    row = training.measure(
        *("lenet300", "fp32", dataset, CPU),
        **{"processes": 2, "together": 2, "repetitions": 4, "batch_size": 16, "loaders": 0, "threads": 1},
    )
    assert row["epochs"] == 5
    for loop in ("plain", "ours"):
        # Guessing one of ten classes gives 10 %.
        assert row[loop]["test_accuracy"] > 40
        assert 0 < row[loop]["least"] <= row[loop]["seconds_per_epoch"] <= row[loop]["most"]
        assert row[loop]["images_per_second"] == pytest.approx(256 / row[loop]["seconds_per_epoch"])
    assert row["ratio"]["least"] <= row["ratio"]["median"] <= row["ratio"]["most"]
    assert training.table([row]).row_count == 1
