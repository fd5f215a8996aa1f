"""The benchmark of the time left: what it counts as near the truth, and the table of it."""

import io

import pytest
from rich.console import Console

from benchmarks.time_left import Samples, below_rows, judged, result, table


def samples() -> Samples:
    """Return samples of a study of 40 seconds, 10 seconds apart."""
    return Samples(
        moved=[0.0, 10.0, 20.0, 30.0, 40.0],
        fraction=[0.0, 0.25, 0.5, 0.75, 1.0],
        predicted=[None, 30.0, 25.0, 20.0, 0.0],
        former=[None, 6.0, None, 10.0, 0.0],
        slowest=[0.0, 12.0, 12.0, 5.0, 0.0],
    )


def test_factors_count_from_a_quarter_of_the_epochs_on_and_until_the_last_seconds() -> None:
    made = samples()
    assert judged(made, made.predicted) == {
        "samples": 3,
        "unknown": 0,
        "within": pytest.approx(2 / 3),
        "median": 1.25,
        "worst": 2.0,
    }


def test_too_little_is_as_wrong_as_too_much_and_an_unknown_time_is_never_right() -> None:
    made = samples()
    figures = judged(made, made.former)
    assert (figures["unknown"], figures["within"], figures["worst"]) == (1, pytest.approx(1 / 3), 5.0)


def test_a_time_below_that_of_a_stage_in_training_is_counted() -> None:
    made = samples()
    assert below_rows(made, made.predicted) == 0
    assert below_rows(made, made.former) == 1


def test_the_table_has_a_row_for_each_estimate() -> None:
    figures = result("made", samples())
    assert figures["samples"][1] == [10.0, 0.25, 30.0, 30.0, 6.0]
    console = Console(file=io.StringIO(), width=150)
    console.print(table([figures]))
    text = console.file.getvalue()
    assert "67%" in text
    assert "5.00" in text
