"""Scores that need more than the trained weights: theta_0, and the movement -w * dL/dw summed over the steps."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.dataset import Dataset
from engine.masks import magnitude_mask
from engine.models.networks import build
from engine.registry import PRUNERS, SCORES, Pruner, Score
from engine.stages.run import Interrupted, Job
from engine.stages.runner import run_stage, run_stages, saved_weights
from engine.stages.weights import WeightsLost
from engine.study.plan import Plan, Stage
from engine.training.augment import to_device
from tests.engine.conftest import Listener, MemoryWeights, batches, made_dataset, plan_of, small_study, stage_of
from tests.engine.training.test_sgd import equal, run, training_of

CPU = torch.device("cpu")
# A copy would keep the fingerprint that the stage has computed.
MOVING = Stage.model_validate({**stage_of().model_dump(), "movement": True})
gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def moved(layer: str, weights: Tensor, seed: int, movement: Tensor) -> Tensor:
    return movement


def increase(layer: str, weights: Tensor, seed: int, initial: Tensor) -> Tensor:
    return weights.abs() - initial.abs()


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    for name, needs in (("moved", ("movement",)), ("increase", ("initial",))):
        monkeypatch.setitem(SCORES, name, Score(f"{__name__}:{name}", version=1, needs=needs))
    monkeypatch.setitem(PRUNERS, "moved", Pruner("movement", "At once.", score="moved"))
    monkeypatch.setitem(PRUNERS, "rounds", Pruner("movement in rounds", "In rounds.", score="moved", gradual=True))
    monkeypatch.setitem(PRUNERS, "admm_moved", Pruner("movement in ADMM", "After ADMM.", score="moved", admm=True))
    monkeypatch.setitem(PRUNERS, "increase", Pruner("increase", "What grew.", score="increase"))


def ran(planned: Plan, dataset: Dataset) -> MemoryWeights:
    weights = MemoryWeights()
    for stage in planned.stages.values():
        result = run_stage(stage, dataset, weights, CPU, Listener())
        assert all(weights.exists(stage.fingerprint, name) for name in saved_weights(stage, result))
    return weights


def stages_of(planned: Plan, kind: str, **fields: object) -> list[Stage]:
    stages = (stage for stage in planned.stages.values() if stage.kind == kind)
    return [stage for stage in stages if all(getattr(stage, name) == value for name, value in fields.items())]


@pytest.mark.parametrize("sparsity", [None, 0.5])
def test_movement_is_the_sum_of_minus_weight_times_gradient_of_plain_pytorch(sparsity: float | None) -> None:
    training = training_of(sparsity=sparsity, augmentation="none", epochs=2, weight_decay=0.01)
    training.flat_parameters.sum_movement()
    dataset = made_dataset()
    reference = build("lenet300", dataset.channels, dataset.image_size, len(dataset.classes))
    reference.load_state_dict(training.weights())
    kept = {name: (weight != 0).float() for name, weight in reference.named_parameters()}
    expected = {name: torch.zeros_like(weight) for name, weight in reference.named_parameters()}
    optimizer = torch.optim.SGD(reference.parameters(), 0.05, momentum=0.9, weight_decay=0.01)
    schedule = training.schedule
    for epoch in range(2):
        optimizer.param_groups[0]["lr"] = schedule.rate(epoch)
        for images, labels in batches(to_device(dataset, "none", CPU), 32, schedule.seed, schedule.purpose, epoch):
            optimizer.zero_grad()
            F.cross_entropy(reference(images), labels).backward()
            for name, weight in reference.named_parameters():
                assert weight.grad is not None
                expected[name] -= weight.detach() * weight.grad
                if sparsity is not None and weight.dim() > 1:
                    weight.grad *= kept[name]
            optimizer.step()
    run(training)
    movement = training.flat_parameters.movement_of(expected)
    for name, tensor in expected.items():
        largest = float(tensor.abs().max())
        assert largest > 0
        torch.testing.assert_close(movement[name], tensor, rtol=1e-3, atol=1e-3 * largest)


def test_a_pretraining_that_sums_movement_up_has_the_numbers_of_the_dense_one(dataset: Dataset) -> None:
    plain, moving = MemoryWeights(), MemoryWeights()
    dense = run_stage(stage_of(), dataset, plain, CPU, Listener())
    result = run_stage(MOVING, dataset, moving, CPU, Listener())
    assert MOVING.fingerprint != stage_of().fingerprint
    assert [row.train_loss for row in result.epochs] == [row.train_loss for row in dense.epochs]
    assert equal(plain.load(stage_of().fingerprint, "trained"), moving.load(MOVING.fingerprint, "trained"))
    assert not plain.exists(stage_of().fingerprint, "movement")
    assert moving.load(MOVING.fingerprint, "movement").keys() == {"fc1.weight", "fc2.weight", "fc3.weight"}


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_and_resumed_stage_has_the_same_movement(dataset: Dataset, stop_after: int) -> None:
    whole, broken = MemoryWeights(), MemoryWeights()
    run_stage(MOVING, dataset, whole, CPU, Listener())
    with pytest.raises(Interrupted):
        run_stage(MOVING, dataset, broken, CPU, Listener(stop_after))
    run_stage(MOVING, dataset, broken, CPU, Listener())
    assert equal(whole.load(MOVING.fingerprint, "movement"), broken.load(MOVING.fingerprint, "movement"))


def test_stages_trained_side_by_side_have_the_movement_that_each_has_alone(dataset: Dataset) -> None:
    stages = [MOVING, stage_of(seed=1), stage_of(seed=2, movement=True)]
    stores = [MemoryWeights() for _ in stages]
    ended: list[object] = []
    jobs = [Job(stage, store, Listener()) for stage, store in zip(stages, stores, strict=True)]
    run_stages(jobs, dataset, CPU, lambda job, outcome: ended.append(outcome))
    assert len(ended) == 3
    for stage, store in zip(stages, stores, strict=True):
        alone = MemoryWeights()
        run_stage(stage, dataset, alone, CPU, Listener())
        assert store.exists(stage.fingerprint, "movement") == stage.movement
        if stage.movement:
            assert equal(store.load(stage.fingerprint, "movement"), alone.load(stage.fingerprint, "movement"))


def test_masks_keep_the_largest_movement_of_the_training_that_is_pruned(dataset: Dataset) -> None:
    planned = plan_of(small_study(pruners=["moved", "rounds"], starts=["winning_ticket", "finetune"]))
    weights = ran(planned, dataset)
    pruned = stages_of(planned, "retrain")
    assert {stage.rounds for stage in pruned} == {(0.5,), (0.8,), (0.5, 0.8)}
    for stage in pruned:
        mask, movement = weights.load(stage.fingerprint, "mask"), weights.load(stage.parent, "movement")
        earlier = weights.load(stage.parent, "mask") if len(stage.rounds) > 1 else None
        for layer, keep in mask.items():
            scores = movement[layer].double()
            if earlier is not None:
                assert bool((earlier[layer] | ~keep).all())
                scores = scores.masked_fill(~earlier[layer], -torch.inf)
            assert float(scores[keep].min()) >= float(scores[~keep].max())
            # Movement has both signs, and its magnitude would give another mask.
            assert float(movement[layer].min()) < 0 < float(movement[layer].max())
            assert not torch.equal(keep, magnitude_mask({layer: movement[layer]}, stage.sparsity)[layer])


def test_only_pruners_that_need_movement_train_for_it(dataset: Dataset) -> None:
    del dataset
    without = plan_of(small_study(pruners=["iterative", "oneshot", "admm", "increase"]))
    assert not any(stage.movement for stage in without.stages.values())
    both = plan_of(small_study(pruners=["iterative", "oneshot", "admm", "increase", "moved", "rounds"]))
    assert without.stages.items() <= both.stages.items()
    dense, moving = stages_of(both, "pretrain")
    assert (dense.movement, moving.movement) == (False, True)
    assert [role.fingerprint for role in both.roles if role.start == "dense"] == [dense.fingerprint]
    added = [both.stages[fingerprint] for fingerprint in both.stages.keys() - without.stages.keys()]
    assert all(stage.root == moving.fingerprint for stage in added if stage.kind == "retrain")
    again = [stage for stage in added if stage.kind == "retrain" and stage.movement]
    assert {(stage.rounds, stage.start) for stage in again} == {
        ((0.5,), "winning_ticket"),
        ((0.5, 0.8), "winning_ticket"),
    }


def test_a_study_that_prunes_further_reuses_the_rounds_of_movement_pruning() -> None:
    short = plan_of(small_study(pruners=["rounds"], sparsities=[0.5]))
    longer = plan_of(small_study(pruners=["rounds"], sparsities=[0.5, 0.8]))
    assert short.stages.keys() <= longer.stages.keys()


def test_movement_in_admm_is_that_of_the_loss_during_admm(dataset: Dataset) -> None:
    planned = plan_of(small_study(pruners=["admm_moved"], sparsities=[0.5], starts=["finetune"]))
    (admm,) = stages_of(planned, "admm")
    (pretrained,) = stages_of(planned, "pretrain")
    assert (admm.movement, pretrained.movement) == (True, False)
    weights = ran(planned, dataset)
    (finetuned,) = stages_of(planned, "retrain")
    mask, movement = weights.load(finetuned.fingerprint, "mask"), weights.load(admm.fingerprint, "movement")
    assert all(
        float(movement[layer][keep].min()) >= float(movement[layer][~keep].max()) for layer, keep in mask.items()
    )


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_score_gets_theta_0(dataset: Dataset, scope: str) -> None:
    planned = plan_of(small_study(pruners=["increase"], sparsities=[0.5], starts=["finetune"], scope=scope))
    weights = ran(planned, dataset)
    (stage,) = stages_of(planned, "retrain")
    initial, trained = weights.load(stage.root, "initial"), weights.load(stage.root, "trained")
    mask = weights.load(stage.fingerprint, "mask")
    scores = {layer: trained[layer].abs() - initial[layer].abs() for layer in mask}
    for group in [list(mask)] if scope == "global" else [[layer] for layer in mask]:
        kept = torch.cat([scores[layer][mask[layer]] for layer in group])
        removed = torch.cat([scores[layer][~mask[layer]] for layer in group])
        assert float(kept.min()) >= float(removed.max())


def test_lost_movement_is_lost_weights_of_the_parent(dataset: Dataset) -> None:
    planned = plan_of(small_study(pruners=["moved"], sparsities=[0.5], starts=["finetune"]))
    weights = MemoryWeights()
    (moving,) = stages_of(planned, "pretrain", movement=True)
    run_stage(moving, dataset, weights, CPU, Listener())
    del weights.saved[moving.fingerprint, "movement"]
    (stage,) = stages_of(planned, "retrain")
    with pytest.raises(WeightsLost) as lost:
        run_stage(stage, dataset, weights, CPU, Listener())
    assert (lost.value.fingerprint, lost.value.name) == (moving.fingerprint, "movement")


def test_a_diverged_stage_has_no_movement(dataset: Dataset) -> None:
    stage = stage_of(learning_rate=1e9, movement=True)
    weights = MemoryWeights()
    result = run_stage(stage, dataset, weights, CPU, Listener())
    assert result.diverged is not None
    assert saved_weights(stage, result) == ()
    assert not weights.exists(stage.fingerprint, "movement")


class TestOnGpu:
    pytestmark = gpu

    @pytest.mark.parametrize("network", ["lenet300", "resnet20"])
    def test_recorded_steps_sum_the_movement_of_eager_ones(self, network: str) -> None:
        eager, replayed = (training_of(network, device=torch.device("cuda"), epochs=2) for _ in range(2))
        eager._graphs = False
        sums = []
        for training in (eager, replayed):
            training.flat_parameters.sum_movement()
            run(training)
            names = [name for name, weight in training.network.named_parameters() if weight.dim() > 1]
            sums.append(training.flat_parameters.movement_of(names))
        for name, tensor in sums[0].items():
            torch.testing.assert_close(sums[1][name], tensor, rtol=1e-2, atol=1e-3 * float(tensor.abs().max()))
