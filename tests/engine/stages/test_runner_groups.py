"""Stages trained side by side: each gives the result that it gives alone, and ends by itself."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.stages.run import Interrupted, Job
from engine.stages.runner import run_stage, run_stages
from engine.study.results import Epoch, StageResult
from engine.training.sgd import Training
from tests.engine.conftest import Listener, MemoryWeights, stage_of
from tests.engine.training.test_concurrent import as_on_a_gpu

CPU = torch.device("cpu")


def test_stages_of_a_group_end_independently(dataset: Dataset) -> None:
    stages = [stage_of(), stage_of(seed=1), stage_of(learning_rate=1e9), stage_of(seed=2), stage_of(seed=3)]
    stores = [MemoryWeights() for _ in stages]
    listeners = [Listener(), Listener(stop_after=1), Listener(), Breaking(), Listener()]
    ended: dict[int, StageResult | Exception] = {}
    jobs = [Job(*parts) for parts in zip(stages, stores, listeners, strict=True)]
    run_stages(jobs, dataset, CPU, lambda job, outcome: ended.__setitem__(jobs.index(job), outcome))
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert isinstance(ended[1], Interrupted)
    assert isinstance(ended[2], StageResult)
    assert ended[2].diverged == 1
    assert isinstance(ended[3], ConnectionError)
    for number in (0, 4):
        alone = run_stage(stages[number], dataset, MemoryWeights(), CPU, Listener())
        outcome = ended[number]
        assert isinstance(outcome, StageResult)
        assert [row.train_loss for row in outcome.epochs] == [row.train_loss for row in alone.epochs]
        assert outcome.overlaps == alone.overlaps
    # The interrupted stage resumes from its checkpoint.
    assert run_stage(stages[1], dataset, stores[1], CPU, Listener()).epochs[0].epoch == 1


def test_stages_that_join_others_give_the_results_that_they_give_alone(dataset: Dataset) -> None:
    first, *joining = (Job(stage_of(seed=seed), MemoryWeights(), Listener()) for seed in range(4))
    calls: list[int] = []
    ended: dict[int, StageResult | Exception] = {}

    def more(running: int) -> list[Job]:
        calls.append(running)
        return [joining.pop()] if len(calls) in (1, 3) else []

    run_stages([first], dataset, CPU, lambda job, outcome: ended.__setitem__(job.stage.seed, outcome), more=more)
    assert first.stage.epochs == 3
    # One stage joins after the first epoch, another when the first stage has ended, none after the last epoch.
    assert calls == [1, 2, 1, 1, 1]
    assert sorted(ended) == [0, 2, 3]
    for seed, outcome in ended.items():
        stage = stage_of(seed=seed)
        assert isinstance(outcome, StageResult)
        alone = run_stage(stage, dataset, MemoryWeights(), CPU, Listener())
        assert [row.train_loss for row in outcome.epochs] == [row.train_loss for row in alone.epochs]
        assert outcome.overlaps == alone.overlaps


def test_on_a_gpu_what_an_epoch_leaves_is_done_before_the_next_is_reported(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of work of a GPU, on a CPU: saving waits until the next epoch of the others is queued."""
    torch.set_num_threads(1)
    alone = {seed: run_stage(stage_of(seed=seed), dataset, MemoryWeights(), CPU, Listener()) for seed in (0, 1)}
    as_on_a_gpu(monkeypatch)
    stores = [MemoryWeights() for _ in range(4)]
    listeners = [Listener(), Listener(), Refusing(), Listener(stop_after=1)]
    stages = [stage_of(seed=0), stage_of(seed=1), stage_of(seed=2), stage_of(seed=3)]
    jobs = [Job(*parts) for parts in zip(stages, stores, listeners, strict=True)]
    joining = [jobs.pop(1)]
    ended: dict[int, StageResult | Exception] = {}

    def more(going: int) -> list[Job]:
        return [joining.pop()] if joining and going < 3 else []

    run_stages(jobs, dataset, CPU, lambda job, outcome: ended.__setitem__(job.stage.seed, outcome), 0.0, more)
    for seed in (0, 1):
        outcome = ended[seed]
        assert isinstance(outcome, StageResult)
        assert [row.train_loss for row in outcome.epochs] == [row.train_loss for row in alone[seed].epochs]
        assert (outcome.overlaps, outcome.retention) == (alone[seed].overlaps, alone[seed].retention)
        assert [row.epoch for row in listeners[seed].committed] == [1, 2, 3]
        assert stores[seed].saved.keys() == {(stages[seed].fingerprint, name) for name in SAVED_OF_A_PRETRAINING}
    # A stage whose commit is refused saves nothing and ends, at the latest after the epoch that was queued already.
    assert isinstance(ended[2], ConnectionError)
    assert len(listeners[2].heard) <= 2
    assert [name for _, name in stores[2].saved] == ["initial"]
    # One that is stopped resumes from its checkpoint.
    assert isinstance(ended[3], Interrupted)
    assert stores[3].saved[stages[3].fingerprint, "checkpoint"]["history"].shape[0] == 1


SAVED_OF_A_PRETRAINING = ("initial", "rewind", "checkpoint", "trained")


class Refusing(Listener):
    """An observer whose stage another worker has claimed."""

    def commit(self, rows: Sequence[Epoch]) -> None:
        raise ConnectionError("the lease is lost")


class Full(MemoryWeights):
    """Weights that cannot be saved, since the device runs out of memory."""

    def save(self, fingerprint: str, name: str, tensors: Mapping[str, Tensor]) -> None:
        if name == "trained":
            raise torch.OutOfMemoryError("CUDA out of memory")
        super().save(fingerprint, name, tensors)


def test_running_out_of_memory_beside_others_fails_no_single_stage(dataset: Dataset) -> None:
    ended: list[object] = []

    def jobs(*seeds: int) -> list[Job]:
        return [Job(stage_of(seed=seed), Full(), Listener()) for seed in seeds]

    with pytest.raises(torch.OutOfMemoryError):
        run_stages(jobs(0, 1), dataset, CPU, lambda job, outcome: ended.append(outcome))
    assert ended == []
    run_stages(jobs(0), dataset, CPU, lambda job, outcome: ended.append(outcome))
    assert [type(outcome) for outcome in ended] == [torch.OutOfMemoryError]


@pytest.mark.parametrize("stores", [(MemoryWeights, Full), (Full, MemoryWeights), (MemoryWeights, MemoryWeights)])
def test_all_trainings_of_a_group_are_closed_however_it_ends(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, stores: tuple[type[MemoryWeights], ...]
) -> None:
    closed: list[Training] = []
    monkeypatch.setattr(Training, "close", lambda training: closed.append(training))
    jobs = [Job(stage_of(seed=seed), store(), Listener(stop_after=seed or None)) for seed, store in enumerate(stores)]
    with suppress(torch.OutOfMemoryError):
        run_stages(jobs, dataset, CPU, lambda *_: None)
    assert len(closed) == len(set(closed)) == len(jobs)


def test_an_error_in_reporting_an_outcome_is_not_reported_as_another_outcome(dataset: Dataset) -> None:
    ended: list[object] = []

    def report(job: Job, outcome: object) -> None:
        ended.append(outcome)
        raise ConnectionError("away")

    with pytest.raises(ConnectionError, match="away"):
        run_stages([Job(stage_of(), MemoryWeights(), Listener())], dataset, CPU, report)
    assert len(ended) == 1
    assert isinstance(ended[0], StageResult)


class Breaking(Listener):
    """An observer whose Redis has gone."""

    def epoch(self, row: Epoch, total: int) -> bool:
        raise ConnectionError("gone")
