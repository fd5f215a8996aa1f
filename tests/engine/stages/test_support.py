"""How many weights ADMM's mask holds that one-shot pruning would have removed."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.masks import magnitude_mask
from engine.stages.run import Interrupted, Job
from engine.stages.runner import run_stage, run_stages
from engine.study.plan import Plan
from engine.study.results import StageResult, Support
from engine.training.sgd import Training
from tests.engine.conftest import Listener, MemoryWeights, made_dataset, plan_of, small_study

CPU = torch.device("cpu")
LAYERS = ("fc1.weight", "fc2.weight", "fc3.weight")
RECIPE = {"epochs": 4, "batch_size": 32, "augmentation": "flip", "milestones": [0.5]}

Ran = tuple[Plan, MemoryWeights, dict[str, StageResult], Dataset]


def hard_dataset() -> Dataset:
    """Return images of which a third have a wrong label, so that the loss stays large enough to move weights."""
    easy = made_dataset(train=480)
    labels = easy.train_labels.clone()
    labels[::3] = labels[::3].roll(1)
    return replace(easy, train_labels=labels)


@pytest.fixture(scope="module")
def ran() -> Ran:
    torch.set_num_threads(1)
    weights, dataset = MemoryWeights(), hard_dataset()
    study = small_study(
        pruners=["oneshot", "admm", "admm_constant"],
        starts=["finetune"],
        recipe=RECIPE,
        admm={"rounds": 8, "period": 3},
    )
    planned = plan_of(study)
    results = {f: run_stage(stage, dataset, weights, CPU, Listener()) for f, stage in planned.stages.items()}
    return planned, weights, results, dataset


def supports(ran: Ran, grows: bool) -> dict[float, Support]:
    planned, _, results, _ = ran
    by_sparsity = {
        s.sparsity: results[f].support for f, s in planned.stages.items() if s.kind == "admm" and s.rho_grows == grows
    }
    return {sparsity: support for sparsity, support in by_sparsity.items() if support is not None}


def test_the_mask_moves_where_rho_grows_and_hardly_where_it_is_constant(ran: Ran) -> None:
    growing, constant = supports(ran, True), supports(ran, False)
    assert growing.keys() == constant.keys() == {0.5, 0.8}
    assert all(support.fraction > 0.1 for support in growing.values())
    assert all(support.fraction < 0.01 for support in constant.values())


def test_the_residual_ends_small_either_way(ran: Ran) -> None:
    planned, _, results, _ = ran
    last = [results[f].residuals[-1] for f, stage in planned.stages.items() if stage.kind == "admm"]
    assert len(last) == 4
    assert max(last) < 0.02


def test_the_moved_weights_are_those_in_which_the_masks_of_the_retrainings_differ(ran: Ran) -> None:
    planned, weights, _, _ = ran
    masks = {
        (role.pruner, role.sparsity): weights.load(role.fingerprint, "mask")
        for role in planned.roles
        if role.start == "finetune"
    }
    for name, grows in (("admm", True), ("admm_constant", False)):
        for sparsity, support in supports(ran, grows).items():
            own, oneshot = masks[name, sparsity], masks["oneshot", sparsity]
            assert support.kept == sum(int(mask.sum()) for mask in own.values())
            assert support.moved == sum(int((own[layer] & ~oneshot[layer]).sum()) for layer in own)


def test_accuracies_are_those_of_the_pruned_weights_before_retraining(ran: Ran) -> None:
    planned, weights, results, dataset = ran
    for fingerprint, stage in planned.stages.items():
        support = results[fingerprint].support
        if stage.kind != "admm":
            assert support is None
            continue
        assert support is not None
        for state, accuracy in (
            (weights.load(fingerprint, "trained"), support.accuracy),
            (weights.load(str(stage.root), "trained"), support.oneshot_accuracy),
        ):
            assert accuracy == pytest.approx(hits(state, dataset, stage.sparsity), abs=100.1 / len(dataset.test_labels))


def hits(state: Mapping[str, Tensor], dataset: Dataset, sparsity: float) -> float:
    """Return the test accuracy in % of LeNet-300 pruned to a sparsity, computed without the engine."""
    mask = magnitude_mask({layer: state[layer] for layer in LAYERS}, sparsity)
    pixels = dataset.train_images.float() / 255
    values = (dataset.test_images.float() / 255 - pixels.mean((0, 1, 2))) / pixels.std((0, 1, 2), correction=0)
    values = values.permute(0, 3, 1, 2).flatten(1)
    for layer in LAYERS:
        values = values @ (state[layer] * mask[layer]).T + state[layer.replace("weight", "bias")]
        values = values if layer == LAYERS[-1] else values.relu()
    return 100 * float((values.argmax(1) == dataset.test_labels).float().mean())


@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("stop_after", [1, 4, 23])
def test_support_is_the_same_after_an_interruption(ran: Ran, grows: bool, stop_after: int) -> None:
    planned, weights, results, dataset = ran
    [stage, _] = [s for s in planned.stages.values() if s.kind == "admm" and s.rho_grows == grows]
    store = MemoryWeights()
    store.saved = {key: tensors for key, tensors in weights.saved.items() if key[0] == stage.root}
    with pytest.raises(Interrupted):
        run_stage(stage, dataset, store, CPU, Listener(stop_after))
    again = run_stage(stage, dataset, store, CPU, Listener())
    whole = results[stage.fingerprint]
    assert (again.support, again.residuals) == (whole.support, whole.residuals)


def test_support_is_the_same_beside_other_trainings(ran: Ran) -> None:
    planned, weights, results, dataset = ran
    store = MemoryWeights()
    store.saved = {key: tensors for key, tensors in weights.saved.items() if planned.stages[key[0]].kind == "pretrain"}
    jobs = [Job(stage, store, Listener()) for stage in planned.stages.values() if stage.kind == "admm"]
    ended: dict[str, object] = {}
    run_stages(jobs, dataset, CPU, lambda job, outcome: ended.__setitem__(job.stage.fingerprint, outcome))
    assert len(ended) == 4
    for fingerprint, outcome in ended.items():
        assert isinstance(outcome, StageResult)
        assert (outcome.support, outcome.residuals) == (results[fingerprint].support, results[fingerprint].residuals)


def test_measuring_support_does_not_change_the_saved_weights(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, weights, _, dataset = ran
    [stage, _] = [s for s in planned.stages.values() if s.kind == "admm" and s.rho_grows]
    store = MemoryWeights()
    store.saved = {key: tensors for key, tensors in weights.saved.items() if key[0] == stage.root}
    monkeypatch.setattr(Training, "accuracy_with", lambda self, weights: 0.0)
    run_stage(stage, dataset, store, CPU, Listener())
    own, other = store.load(stage.fingerprint, "trained"), weights.load(stage.fingerprint, "trained")
    assert all(torch.equal(own[name], other[name]) for name in other)


def test_earlier_results_have_no_support(ran: Ran) -> None:
    result = next(result for result in ran[2].values() if result.support is not None)
    values = json.loads(json.dumps(result.to_json()))
    assert StageResult.from_json(values) == result
    del values["support"]
    assert StageResult.from_json(values).support is None
