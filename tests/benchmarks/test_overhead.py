"""The benchmark of overhead: how often a stage saves a checkpoint."""

import pytest

from benchmarks import overhead


@pytest.mark.parametrize(
    ("epoch", "checkpoint", "between"),
    [
        # Epochs that take minutes are all followed by a checkpoint.
        (400.0, 0.3, 1),
        # Checkpoints are 5 s apart; slow ones further, to take a fiftieth of the time, but at most two minutes.
        (0.5, 0.01, 10),
        (0.5, 0.3, 30),
        (0.5, 10.0, 240),
    ],
)
def test_checkpoints_are_saved_at_the_ends_of_epochs(epoch: float, checkpoint: float, between: int) -> None:
    assert overhead.epochs_between(epoch, 0.0, 0.0, checkpoint) == between
