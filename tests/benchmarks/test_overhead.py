"""The benchmark of overhead: how often a stage saves a checkpoint."""

import pytest

from benchmarks import overhead


@pytest.mark.parametrize(
    ("epoch", "checkpoint", "between"),
    [
        # Epochs of minutes: after each.
        (400.0, 0.3, 1),
        # Every 5 s; one of 0.3 s every 15 s, so that it takes a fiftieth of the time; one of 10 s every two minutes.
        (0.5, 0.01, 10),
        (0.5, 0.3, 30),
        (0.5, 10.0, 240),
    ],
)
def test_checkpoints_are_saved_at_the_ends_of_epochs(epoch: float, checkpoint: float, between: int) -> None:
    assert overhead.epochs_between(epoch, 0.0, 0.0, checkpoint) == between
