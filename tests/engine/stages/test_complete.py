"""Earlier results are completed with exactly the measurements of today, as far as their weights exist."""

import json
from dataclasses import replace

import pytest
import torch

from engine.counts import pooled, pooled_level
from engine.masks import content_hash
from engine.stages.complete import complete, lacks
from engine.stages.runner import run_stage
from engine.study.plan import Plan
from engine.study.results import AGAINST_DENSE, StageResult
from tests.engine.conftest import Listener, MemoryWeights, made_dataset, plan_of, small_study

CPU = torch.device("cpu")

Ran = tuple[Plan, MemoryWeights, dict[str, StageResult]]


@pytest.fixture(scope="module")
def trained() -> Ran:
    torch.set_num_threads(1)
    weights, dataset = MemoryWeights(), made_dataset()
    planned = plan_of(small_study(pruners=["oneshot", "iterative", "admm"], starts=["winning_ticket", "finetune"]))
    for fingerprint, stage in planned.stages.items():
        weights.results[fingerprint] = run_stage(stage, dataset, weights, CPU, Listener())
    return planned, weights, dict(weights.results)


@pytest.fixture
def ran(trained: Ran) -> Ran:
    planned, weights, results = trained
    own = MemoryWeights()
    own.saved = dict(weights.saved)
    return planned, own, results


def without_masks(result: StageResult) -> StageResult:
    """Return a result as it was before masks and their levels were measured, by way of the JSON of that time."""
    values = result.to_json()
    del values["mask"]
    for overlap in values["overlaps"]:
        overlap["counts"] = overlap["counts"][:5]
    return StageResult.from_json(json.loads(json.dumps(values)))


def finetuned(ran: Ran) -> list[str]:
    return [fingerprint for fingerprint, stage in ran[0].stages.items() if stage.start == "finetune"]


def test_a_completed_result_equals_one_that_was_measured_at_once(ran: Ran) -> None:
    planned, weights, results = ran
    for fingerprint, stage in planned.stages.items():
        old, new = without_masks(results[fingerprint]), results[fingerprint]
        assert lacks(stage, old) == (stage.kind == "retrain")
        assert not lacks(stage, new)
        assert complete(stage, old, weights) == new
        assert complete(stage, new, weights) is new
        assert StageResult.from_json(json.loads(json.dumps(new.to_json()))) == new


def test_results_name_their_mask_and_have_levels_against_dense_networks_alone(ran: Ran) -> None:
    planned, weights, results = ran
    for fingerprint, stage in planned.stages.items():
        result = results[fingerprint]
        if stage.kind == "retrain":
            assert result.mask == content_hash(weights.load(fingerprint, "mask"))
        else:
            assert result.mask is None
        for overlap in result.overlaps:
            assert all((count.expected is not None) == (overlap.pair in AGAINST_DENSE) for count in overlap.counts)
    by_mask = {(stage.sparsity, stage.start, results[f].mask) for f, stage in planned.stages.items() if stage.start}
    # One-shot and the first iterative round share a mask; ADMM and later rounds have masks of their own.
    assert len({mask for _, _, mask in by_mask}) >= 3


def test_a_mask_from_the_trained_weights_raises_the_level_far_above_p(ran: Ran) -> None:
    planned, _, results = ran
    [oneshot] = [
        role.fingerprint
        for role in planned.roles
        if role.pruner == "oneshot" and role.start == "finetune" and role.sparsity == 0.5
    ]
    for overlap in results[oneshot].overlaps:
        counts = [count for count in overlap.counts if count.p == 0.2]
        level = pooled_level(counts)
        if overlap.pair == "finetuned_pretrained":
            assert level == pytest.approx(0.4, abs=0.002)
            assert pooled(counts) > 0.4
        elif overlap.pair == "finetuned_initial":
            assert level is not None
            assert 0.2 < level <= 0.4


@pytest.mark.parametrize("lost", ["initial", "trained", "mask"])
def test_levels_that_need_lost_weights_stay_open(ran: Ran, lost: str) -> None:
    planned, weights, results = ran
    for fingerprint in finetuned(ran):
        stage = planned.stages[fingerprint]
        weights.saved.pop((fingerprint if lost == "mask" else str(stage.root), lost), None)
        old = without_masks(results[fingerprint])
        completed = complete(stage, old, weights)
        if lost == "mask":
            assert completed is None
            continue
        assert completed is not None
        assert completed.mask == results[fingerprint].mask
        assert lacks(stage, completed)
        levels = {overlap.pair: pooled_level(overlap.counts) for overlap in completed.overlaps}
        open_pair = {"initial": "finetuned_initial", "trained": "finetuned_pretrained"}[lost]
        assert levels[open_pair] is None
        assert [pair for pair, level in levels.items() if level is not None] == [
            pair for pair in AGAINST_DENSE if pair != open_pair
        ]
        # A second try fills in nothing more.
        assert complete(stage, completed, weights) is None


def test_weights_of_another_network_complete_nothing(ran: Ran) -> None:
    planned, weights, results = ran
    fingerprint = finetuned(ran)[0]
    stage, old = planned.stages[fingerprint], without_masks(results[fingerprint])
    weights.saved[fingerprint, "mask"] = {"other.weight": torch.ones(3, dtype=torch.bool)}
    assert complete(stage, old, weights) is None
    weights.saved[fingerprint, "mask"] = {
        layer: torch.ones(tensor.numel(), dtype=torch.bool)
        for layer, tensor in weights.load(fingerprint, "mask").items()
    }
    assert complete(stage, old, weights) is None


def test_a_training_that_diverged_lacks_nothing(ran: Ran) -> None:
    planned, weights, results = ran
    fingerprint = finetuned(ran)[0]
    diverged = replace(without_masks(results[fingerprint]), epochs=(), overlaps=(), diverged=0)
    assert complete(planned.stages[fingerprint], diverged, weights) is diverged


def test_overlaps_are_with_the_saved_initial_weights_not_with_weights_drawn_again(ran: Ran) -> None:
    planned, weights, results = ran
    dataset = made_dataset()
    fingerprint = finetuned(ran)[0]
    stage = planned.stages[fingerprint]
    root = str(stage.root)
    initial = weights.load(root, "initial")
    weights.save(root, "initial", {name: 1.0 / (tensor.abs() + 1e-3) for name, tensor in initial.items()})
    again = run_stage(stage, dataset, weights, CPU, Listener())
    before = {overlap.pair: pooled(overlap.counts) for overlap in results[fingerprint].overlaps}
    after = {overlap.pair: pooled(overlap.counts) for overlap in again.overlaps}
    assert again.epochs[-1].test_accuracy == results[fingerprint].epochs[-1].test_accuracy
    for pair, ratio in before.items():
        assert (after[pair] == ratio) == (pair not in ("ticket_finetuned", "finetuned_initial"))
    # The saved initial weights are inverted, so that the largest ones are now the smallest.
    assert after["finetuned_initial"] < before["finetuned_initial"]
