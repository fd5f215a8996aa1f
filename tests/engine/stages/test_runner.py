import pytest
import torch

from engine.counts import P_GRID, pooled
from engine.masks import magnitude_mask, sparsity
from engine.overlap import overlap_ratio
from engine.stages import run
from engine.stages.measure import measured_epochs
from engine.stages.prepare import prepare
from engine.stages.run import Interrupted
from engine.stages.runner import run_stage
from engine.study.results import PAIRS, StageResult
from engine.training.sgd import Training
from tests.engine.conftest import Listener, MemoryWeights, plan_of, small_study, stage_of

CPU = torch.device("cpu")


def run_plan(planned, dataset, weights: MemoryWeights) -> dict[str, StageResult]:
    return {f: run_stage(stage, dataset, weights, CPU, Listener()) for f, stage in planned.stages.items()}


@pytest.fixture(scope="module")
def ran():
    from tests.engine.conftest import made_dataset

    torch.set_num_threads(1)
    weights, dataset = MemoryWeights(), made_dataset()
    planned = plan_of(small_study(pruners=["iterative", "iterative_rewind", "oneshot", "admm"]))
    return planned, weights, run_plan(planned, dataset, weights), dataset


def test_every_start_begins_from_its_source(ran, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, weights, _, dataset = ran
    root = next(f for f, s in planned.stages.items() if s.kind == "pretrain")
    sources = {"winning_ticket": "initial", "rewind": "rewind", "finetune": "trained"}
    for stage in planned.stages.values():
        if stage.kind != "retrain":
            continue
        layers, mask, training = prepare(stage, dataset, weights, CPU)
        begin = training.weights()
        for layer in layers:
            if stage.start in sources:
                source = weights.load(root, sources[stage.start])[layer]
                # Unpruned weights are restored bit for bit, pruned ones are exactly 0.
                assert torch.equal(begin[layer], torch.where(mask[layer], source, 0.0))
            else:
                initial = weights.load(root, "initial")[layer]
                kept = mask[layer]
                assert not torch.equal(begin[layer][kept], initial[kept])
                assert bool((begin[layer][~kept] == 0).all())


def test_masks_nest_along_the_rounds_and_meet_their_sparsity(ran) -> None:
    planned, weights, results, _ = ran
    for fingerprint, stage in planned.stages.items():
        if stage.kind != "retrain":
            continue
        mask = weights.load(fingerprint, "mask")
        assert results[fingerprint].sparsity == sparsity(mask) == pytest.approx(stage.sparsity, abs=0.002)
        if len(stage.rounds) > 1:
            before = weights.load(stage.parent, "mask")
            assert all(bool((before[layer] | ~mask[layer]).all()) for layer in mask)


def test_masks_of_iterative_pruning_with_rewinding_are_made_from_the_rewound_training(ran) -> None:
    planned, weights, _, _ = ran
    later = [r.fingerprint for r in planned.roles if (r.pruner, r.sparsity) == ("iterative_rewind", 0.8)]
    assert len(later) == 4
    for fingerprint in later:
        mask, parent = weights.load(fingerprint, "mask"), planned.stages[fingerprint].parent
        trained = {layer: weights.load(parent, "trained")[layer] for layer in mask}
        expected = magnitude_mask(trained, 0.8, within=weights.load(parent, "mask"))
        assert planned.stages[parent].start == "rewind"
        assert all(torch.equal(mask[layer], expected[layer]) for layer in mask)


def test_trained_weights_stay_zero_where_pruned(ran) -> None:
    planned, weights, _, _ = ran
    for fingerprint, stage in planned.stages.items():
        if stage.kind == "retrain":
            mask, trained = weights.load(fingerprint, "mask"), weights.load(fingerprint, "trained")
            assert all(bool((trained[layer][~mask[layer]] == 0).all()) for layer in mask)


def test_recorded_counts_give_the_overlap_of_the_saved_weights(ran) -> None:
    planned, weights, results, _ = ran
    for fingerprint, stage in planned.stages.items():
        pairs = {overlap.pair: overlap.counts for overlap in results[fingerprint].overlaps}
        layers = ["fc1.weight", "fc2.weight", "fc3.weight"]

        def kernels(name: str, of: str, layers=layers) -> dict[str, torch.Tensor]:
            tensors = weights.load(of, name)
            return {layer: tensors[layer] for layer in layers}

        def ratio(pair: str, pairs=pairs) -> float:
            return pooled(count for count in pairs[pair] if count.p == 0.2)

        if stage.kind == "pretrain":
            assert set(pairs) == {"initial_pretrained"}
            assert ratio("initial_pretrained") == overlap_ratio(
                kernels("initial", fingerprint), kernels("trained", fingerprint), 0.2
            )
        elif stage.start == "finetune":
            assert set(pairs) == set(PAIRS) - {"initial_pretrained"}
            finetuned, mask = kernels("trained", fingerprint), weights.load(fingerprint, "mask")
            initial, pretrained = kernels("initial", stage.root), kernels("trained", stage.root)
            assert ratio("ticket_finetuned") == overlap_ratio(initial, finetuned, 0.2, mask)
            assert ratio("reinit_finetuned") == pytest.approx(0.2, abs=0.12)
            if stage.sparsity <= 0.75:
                assert ratio("finetuned_initial") == overlap_ratio(finetuned, initial, 0.2)
                assert ratio("finetuned_pretrained") == overlap_ratio(finetuned, pretrained, 0.2)
            ps = {count.p for count in pairs["finetuned_pretrained"]}
            assert max(ps) <= 1 - stage.sparsity + 1e-3
        else:
            assert pairs == {}


def test_admm_records_its_residual(ran) -> None:
    planned, _, results, _ = ran
    for fingerprint, stage in planned.stages.items():
        assert len(results[fingerprint].residuals) == (3 if stage.kind == "admm" else 0)
        assert len(results[fingerprint].epochs) == stage.epochs


def test_results_survive_their_json_form(ran) -> None:
    import json

    for result in ran[2].values():
        assert StageResult.from_json(json.loads(json.dumps(result.to_json()))) == result
        assert result.best.test_accuracy == max(row.test_accuracy for row in result.epochs)
        assert result.final == result.epochs[-1]


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_and_resumed_stage_gives_the_same_result(dataset, stop_after: int) -> None:
    torch.set_num_threads(1)
    stage = stage_of()
    whole, broken = MemoryWeights(), MemoryWeights()
    result = run_stage(stage, dataset, whole, CPU, Listener())
    listener = Listener(stop_after)
    with pytest.raises(Interrupted, match=f"after epoch {stop_after} of 3"):
        run_stage(stage, dataset, broken, CPU, listener)
    assert [row.epoch for row in listener.committed] == list(range(1, stop_after + 1))
    rest = Listener()
    resumed = run_stage(stage, dataset, broken, CPU, rest)
    assert [row.epoch for row in rest.committed] == list(range(stop_after + 1, 4))
    for name in ("initial", "rewind", "trained"):
        a, b = whole.load(stage.fingerprint, name), broken.load(stage.fingerprint, name)
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert resumed.overlaps == result.overlaps
    assert [r.train_loss for r in resumed.epochs] == [r.train_loss for r in result.epochs]


def test_nothing_is_written_when_the_commit_is_refused(dataset, weights: MemoryWeights) -> None:
    class Fenced(Listener):
        def commit(self, rows) -> None:
            raise PermissionError("the lease is gone")

    with pytest.raises(PermissionError):
        run_stage(stage_of(), dataset, weights, CPU, Fenced())
    assert {name for _, name in weights.saved} == {"initial"}


def test_retention_is_measured_during_pretraining(ran) -> None:
    planned, _, results, _ = ran
    for fingerprint, stage in planned.stages.items():
        rows = results[fingerprint].retention
        assert bool(rows) == (stage.kind == "pretrain")
        if rows:
            assert sorted({row.epoch for row in rows}) == [1, 2, 3] == list(measured_epochs(stage.epochs))
            assert {row.p for row in rows} == set(P_GRID)
            (at_the_end,) = (row for row in rows if row.epoch == stage.epochs and row.p == 0.2)
            counts = [c for c in results[fingerprint].overlaps[0].counts if c.p == 0.2]
            # The last row is R_p(theta_0, theta_T) itself.
            assert at_the_end.intersection == sum(count.intersection for count in counts)
            assert at_the_end.top == sum(count.top for count in counts)


def test_retention_is_measured_in_few_epochs_and_in_the_last() -> None:
    assert measured_epochs(1) == (1,)
    for epochs in (2, 10, 150, 10_000):
        measured = measured_epochs(epochs)
        assert len(measured) <= 10
        assert (measured[0], measured[-1]) == (1, epochs)
        assert list(measured) == sorted(measured)


def test_an_interruption_does_not_change_retention(dataset) -> None:
    stage = stage_of(recipe=small_study(recipe={"epochs": 6, "batch_size": 32, "augmentation": "none"}).recipe)
    whole = run_stage(stage, dataset, MemoryWeights(), CPU, Listener())
    weights = MemoryWeights()
    for after in (2, 4):
        with pytest.raises(Interrupted):
            run_stage(stage, dataset, weights, CPU, Listener(stop_after=after))
    assert run_stage(stage, dataset, weights, CPU, Listener()).retention == whole.retention


def test_a_result_from_before_retention_was_measured_still_reads(ran) -> None:
    _, _, results, _ = ran
    values = next(iter(results.values())).to_json()
    assert StageResult.from_json(values).retention
    del values["retention"]
    assert StageResult.from_json(values).retention == ()


@pytest.mark.parametrize(("share", "checkpoints"), [(1e9, 3), (1e-9, 1)])
def test_checkpoints_that_exceed_their_share_of_the_time_are_fewer(
    dataset, monkeypatch: pytest.MonkeyPatch, share: float, checkpoints: int
) -> None:
    saved: list[str] = []

    class Saving(MemoryWeights):
        def save(self, fingerprint, name, tensors) -> None:
            saved.append(name)
            super().save(fingerprint, name, tensors)

    monkeypatch.setattr(run, "CHECKPOINT_SHARE", share)
    run_stage(stage_of(), dataset, Saving(), CPU, Listener(), checkpoint_seconds=0.0)
    # The checkpoint with the rewind weights, after the first of three epochs, is always saved.
    assert saved.count("checkpoint") == checkpoints


def test_the_observer_hears_once_why_a_stage_trains_without_graphs(dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    fine, slow = Listener(), Listener()
    run_stage(stage_of(), dataset, MemoryWeights(), CPU, fine)
    monkeypatch.setattr(Training, "not_recorded", "stream is capturing")
    run_stage(stage_of(), dataset, MemoryWeights(), CPU, slow)
    assert (fine.slow, slow.slow) == ([], ["stream is capturing"])
