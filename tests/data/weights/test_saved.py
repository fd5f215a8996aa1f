"""Trainings without weights say so; tests/ticketscope reads the weights of real ones."""

from pathlib import Path

import pytest

from data.artifacts.store import Artifacts
from data.database.database import Database
from data.weights import choice, saved
from data.weights.choice import ChoiceError
from data.weights.saved import WeightsMissing
from tests.data.made_results import STUDY_ID, Stream, diverging_results, made_plan, whole_study


@pytest.fixture
def recorded(tmp_path: Path) -> Database:
    """A study of which all trainings at learning rate 0.1 diverged."""
    database = Database(tmp_path / "test.duckdb")
    database.ensure()
    planned = made_plan(pruners=["oneshot", "iterative"], seeds=[0])
    database.record(whole_study(Stream(), planned, results=diverging_results(planned)))
    return database


def test_a_training_that_diverged_has_no_weights(recorded: Database, tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path / "artifacts"))
    lost = choice.find(recorded, STUDY_ID, start="dense", learning_rate=0.1)
    assert (lost.state, lost.diverged, lost.pruner, lost.sparsity) == ("done", 2, None, 0.0)
    with pytest.raises(WeightsMissing, match=r"dense: lenet300 .* has no weights, because its training diverged"):
        saved.load(artifacts, lost)
    trained = choice.find(recorded, STUDY_ID, start="finetune", sparsity=0.9, learning_rate=0.01, pruner="oneshot")
    assert trained.diverged is None
    assert trained.stage.fingerprint == trained.fingerprint
    for which, name in (("trained", "trained"), ("initial", "trained")):
        with pytest.raises(WeightsMissing, match=f"no {name} weights of stage .*TICKETSCOPE_ARTIFACTS"):
            saved.load(artifacts, trained, which)


def test_settings_that_do_not_fit_together_are_told(recorded: Database) -> None:
    with pytest.raises(ChoiceError, match=r"sparsity 0\.5 together; with the others it has sparsity 0\.0"):
        choice.find(recorded, STUDY_ID, start="dense", sparsity=0.5)
