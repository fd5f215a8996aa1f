"""The speeds in benchmarks/README.md are those of the results."""

import json
from pathlib import Path

import pytest

from benchmarks import table


def test_the_readme_shows_the_latest_results() -> None:
    readme = table.README.read_text(encoding="utf-8")
    lines = table.all_speeds(table.RESULTS)
    assert len(lines) > 4
    assert table.updated(readme, lines) == readme, "run: python -m benchmarks.table"


def test_the_latest_results_of_each_hardware_are_shown(tmp_path: Path) -> None:
    old, latest, fast = ({"device": "cpu", "cpu": name, "threads": 2} for name in ("slow", "slow", "fast"))
    gpu = {"device": "NVIDIA H200", "cpu": "fast", "threads": 8}
    for name, hardware in (
        ("training-cpu-2026-01-02", old),
        ("training-cpu-2026-03-01", latest),
        ("training-cpu-2026-02-01", fast),
        ("training-cuda-2026-02-01", gpu),
        ("pages-2026-09-09", fast),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(hardware))
    assert [file.name for file in table.latest(tmp_path)] == [
        "training-cuda-2026-02-01.json",
        "training-cpu-2026-03-01.json",
        "training-cpu-2026-02-01.json",
    ]


def test_a_row_shows_ratio_spread_and_both_accuracies(tmp_path: Path) -> None:
    figures = {
        "date": "2026-03-01 10:00 UTC",
        "cpu": "A processor",
        "device": "cpu",
        "threads": 2,
        "versions": {"torch": "9.9"},
        "data": "folder",
        "measured": [
            {
                "network": "resnet20",
                "precision": "bf16",
                "processes": 2,
                "together": 2,
                "batch_size": 128,
                "train_images": 2000,
                "test_images": 400,
                "epochs": 4,
                "plain": {"images_per_second": 1000.4, "test_accuracy": 41.25},
                "ours": {"images_per_second": 3000.0, "test_accuracy": 40.0},
                "ratio": {"median": 3.0, "least": 2.5, "most": 3.5},
            }
        ],
    }
    file = tmp_path / "training-cpu-2026-03-01.json"
    file.write_text(json.dumps(figures))
    _, _, row, _, note = table.speeds(file, tmp_path)
    assert row == "| ResNet-20 | bf16, 2 concurrent | 3,000 | 1,000 | 3.00 (2.50-3.50) | 40.0 | 41.2 |"
    for text in (
        "A processor, 2 threads",
        "PyTorch 9.9",
        "3 epochs of 2,000 images (CIFAR-10)",
        "ours in 2 processes at once",
        "n = 4 of ours",
    ):
        assert text in note


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks its marks"):
        table.updated("# Ticketscope", ["x"])
