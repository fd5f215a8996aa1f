"""A study with several faults, one after another, ends with the rows and files of the undisturbed study."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.faults.chaos import ALLOWED, show, study_under_fire, under_fire

# `make chaos` injects all kinds, and more often; here, stages are too short to have a checkpoint to truncate.
KINDS = ("kill_worker", "kill_recorder_in_insert", "double_messages", "kill_redis", "cut_weights")


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_study_under_faults_ends_like_the_undisturbed_one(home: Path, tmp_path: Path) -> None:
    del home
    study = study_under_fire(seeds=1, epochs=45)
    outcome = under_fire(tmp_path, study, KINDS, seed=1, console=Console(), pauses=(0.1, 0.5))
    show(outcome, Console())
    # On a fast machine, the study may end before the last faults.
    assert len(outcome.strikes) >= 3
    assert outcome.equal, (outcome.rows, outcome.differing)
    assert outcome.worst <= ALLOWED
