"""A training whose loss is no longer finite gives a result, as does every stage that would be made from it."""

import json

import pytest
import torch

from engine.dataset import Dataset
from engine.stages.run import Interrupted
from engine.stages.runner import run_stage
from engine.study.results import StageResult
from tests.engine.conftest import Listener, MemoryWeights, plan_of, small_study, stage_of

CPU = torch.device("cpu")
# No weights stay finite at this rate.
FAR_TOO_HIGH = 1e9
# HIGHEST is the highest rate of a study; with this weight decay each step makes the weights nine times as large.
HIGHEST = 10.0
GROWING = {"epochs": 3, "batch_size": 8, "augmentation": "none", "weight_decay": 1.0}


def late(**changes: object) -> dict[str, object]:
    """Return settings under which the first epoch is trained at 0.05 and the second at a rate far too high."""
    recipe = small_study(recipe={"epochs": 3, "batch_size": 32, "augmentation": "none", "milestones": [0.34]}).recipe
    # No study can ask for this decay, since rates only fall.
    return {"recipe": recipe.model_copy(update={"decay": 1e11}), **changes}


def test_a_rate_far_too_high_gives_a_result_and_no_weights(dataset: Dataset, weights: MemoryWeights) -> None:
    stage, listener = stage_of(learning_rate=FAR_TOO_HIGH), Listener()
    result = run_stage(stage, dataset, weights, CPU, listener)
    assert (result.diverged, result.epochs, listener.committed) == (1, (), [])
    assert (result.overlaps, result.retention, result.residuals) == ((), (), ())
    assert {name for _, name in weights.saved} == {"initial"}


def test_the_finite_epochs_before_a_divergence_are_in_the_result_and_committed_once(
    dataset: Dataset, weights: MemoryWeights
) -> None:
    stage, listener = stage_of(**late()), Listener()
    result = run_stage(stage, dataset, weights, CPU, listener)
    assert result.diverged == 2
    assert [row.epoch for row in result.epochs] == [1]
    assert listener.committed == list(result.epochs)
    assert not weights.exists(stage.fingerprint, "trained")


def test_a_resumed_stage_diverges_in_the_same_epoch(dataset: Dataset, weights: MemoryWeights) -> None:
    stage = stage_of(**late())
    with pytest.raises(Interrupted):
        run_stage(stage, dataset, weights, CPU, Listener(stop_after=1))
    listener = Listener()
    again = run_stage(stage, dataset, weights, CPU, listener)
    whole = run_stage(stage, dataset, MemoryWeights(), CPU, Listener())
    assert listener.committed == []
    assert again.diverged == whole.diverged == 2
    assert [row.test_loss for row in again.epochs] == [row.test_loss for row in whole.epochs]
    # The checkpoint holds finite epochs alone, so that a run from it diverges again.
    assert run_stage(stage, dataset, weights, CPU, Listener()).diverged == 2


def test_stages_made_from_a_diverged_one_are_not_trained(dataset: Dataset, weights: MemoryWeights) -> None:
    planned = plan_of(
        small_study(learning_rates=[HIGHEST, 0.05], pruners=["iterative", "oneshot", "admm"], recipe=GROWING)
    )
    heard: set[float] = set()
    for fingerprint, stage in planned.stages.items():
        listener = Listener()
        weights.results[fingerprint] = run_stage(stage, dataset, weights, CPU, listener)
        heard |= {stage.learning_rate for _ in listener.heard}
    outcomes = {(stage.learning_rate, stage.kind, weights.results[f].diverged) for f, stage in planned.stages.items()}
    assert outcomes == {
        (HIGHEST, "pretrain", 1),
        (HIGHEST, "admm", 0),
        (HIGHEST, "retrain", 0),
        (0.05, "pretrain", None),
        (0.05, "admm", None),
        (0.05, "retrain", None),
    }
    assert heard == {0.05}
    diverged = {f for f, result in weights.results.items() if result.diverged is not None}
    assert {name for f, name in weights.saved if f in diverged} == {"initial"}


def test_a_divergence_is_not_reported_once_the_lease_is_lost(dataset: Dataset, weights: MemoryWeights) -> None:
    class Fenced(Listener):
        def commit(self, rows) -> None:
            raise PermissionError("the lease is gone")

    planned = plan_of(small_study(learning_rates=[HIGHEST], pruners=["oneshot"], recipe=GROWING))
    root, child, *_ = planned.stages.values()
    with pytest.raises(PermissionError):
        run_stage(root, dataset, weights, CPU, Fenced())
    weights.results[root.fingerprint] = run_stage(root, dataset, weights, CPU, Listener())
    with pytest.raises(PermissionError):
        run_stage(child, dataset, weights, CPU, Fenced())


def test_an_admm_training_that_diverges_leaves_no_residual(dataset: Dataset, weights: MemoryWeights) -> None:
    planned = plan_of(small_study(pruners=["admm"]))
    root, admm, *_ = planned.stages.values()
    weights.results[root.fingerprint] = run_stage(root, dataset, weights, CPU, Listener())
    wild = admm.model_copy(update={"learning_rate": FAR_TOO_HIGH})
    result = run_stage(wild, dataset, weights, CPU, Listener())
    assert (result.diverged, result.residuals, result.support) == (1, (), None)


def test_a_diverged_result_survives_its_json_form(dataset: Dataset, weights: MemoryWeights) -> None:
    result = run_stage(stage_of(**late()), dataset, weights, CPU, Listener())
    values = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert StageResult.from_json(values) == result
    # Results from before divergence was recorded have no such field.
    del values["diverged"]
    assert StageResult.from_json(values).diverged is None
