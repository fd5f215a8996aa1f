"""Local runs have the same results with any number of processes and after any interruption."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
import torch

from data.artifacts.store import Artifacts
from data.settings import settings
from engine.stages.runner import run_stages
from engine.study.plan import Plan
from engine.study.results import StageResult
from tasks.studies.planning import plan_study
from tasks.worker import local
from tasks.worker.local import EpochReport, StageFailed, Stopped, run
from tests.machine import diverging_study, folder_of_images, long_study, tiny_study


def measured(results: dict[str, StageResult]) -> dict[str, object]:
    """Return the results without the times that they took."""
    return {
        fingerprint: ([e[:6] for e in result.to_json()["epochs"]], result.overlaps, result.sparsity)
        for fingerprint, result in results.items()
    }


def train(
    plan: Plan, folder: Path, processes: int = 1, report: EpochReport = lambda *_: None
) -> dict[str, StageResult]:
    return run(plan, str(folder), settings(), ["cpu"] * processes, report)


def test_the_number_of_processes_does_not_change_results(home: Path, tmp_path: Path) -> None:
    plan = plan_study(tiny_study(), home)
    epochs: dict[str, int] = {}
    alone = train(plan, tmp_path / "alone", report=epochs.__setitem__)
    assert epochs == {fingerprint: stage.epochs for fingerprint, stage in plan.stages.items()}
    epochs.clear()
    spread = train(plan, tmp_path / "spread", 2, epochs.__setitem__)
    assert set(epochs) == set(plan.stages)
    assert measured(alone) == measured(spread)
    for fingerprint in plan.stages:
        name = f"weights/{fingerprint}/trained.safetensors"
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "spread" / name).read_bytes()


def test_a_stopped_run_continues_to_the_same_results(home: Path, tmp_path: Path) -> None:
    plan = plan_study(long_study(epochs=30), home)
    [fingerprint] = plan.stages
    seen: list[int] = []

    def stop_at_ten(_: str, epoch: int) -> None:
        seen.append(epoch)
        if epoch == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped):
        train(plan, tmp_path / "stopped", report=stop_at_ten)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    assert seen == list(range(1, 11))
    again = train(plan, tmp_path / "stopped", report=stop_at_ten)
    assert seen == list(range(1, 31))
    assert measured(again) == measured(train(plan, tmp_path / "whole"))
    assert not Artifacts(str(tmp_path / "stopped")).exists(fingerprint, "checkpoint")


def test_a_diverged_stage_has_a_result_and_all_its_epochs_count_as_done(home: Path, tmp_path: Path) -> None:
    plan = plan_study(diverging_study(), home)
    epochs: dict[str, int] = {}
    results = train(plan, tmp_path, report=epochs.__setitem__)
    assert results.keys() == plan.stages.keys()
    assert epochs == {fingerprint: stage.epochs for fingerprint, stage in plan.stages.items()}
    for fingerprint, stage in plan.stages.items():
        assert (results[fingerprint].diverged is not None) == (stage.learning_rate == 10.0)
    # A second run trains nothing.
    assert train(plan, tmp_path) == results


@pytest.mark.parametrize("processes", [1, 2])
def test_stages_trained_side_by_side_have_the_same_results(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    plan = plan_study(tiny_study(seeds=[0, 1, 2], learning_rates=[0.05, 10.0]), home)
    alone = train(plan, tmp_path / "alone")
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", "4")
    settings.cache_clear()
    epochs: dict[str, int] = {}
    together = train(plan, tmp_path / "together", processes, epochs.__setitem__)
    assert measured(alone) == measured(together)
    assert epochs == {fingerprint: stage.epochs for fingerprint, stage in plan.stages.items()}


def test_stages_that_run_out_of_memory_together_are_trained_one_by_one(home: Path, tmp_path: Path) -> None:
    plan = plan_study(tiny_study(seeds=[0, 1, 2], pruners=[], sparsities=[], starts=[]), home)
    config = settings().model_copy(update={"together": 3})
    sizes: list[int] = []

    def scarce(jobs, *rest) -> None:
        sizes.append(len(jobs))
        if len(jobs) > 1:
            raise torch.OutOfMemoryError("no room for so many")
        run_stages(jobs, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local, "run_stages", scarce)
        results = run(plan, str(tmp_path), config, ["cpu"], lambda *_: None)
    assert len(results) == 3
    assert sizes == [3, 1, 1, 1]


def test_a_failure_is_raised_after_all_other_stages(home: Path, tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "images")
    study = tiny_study(
        datasets=["digits", f"folder:{images}"], train_images=None, test_images=None, pruners=["oneshot"]
    )
    plan = plan_study(study, home)
    images.rename(tmp_path / "hidden")
    # The cached images are removed too.
    shutil.rmtree(settings().datasets, ignore_errors=True)
    with pytest.raises(StageFailed, match=f"pretrain .*{images}"):
        train(plan, tmp_path)
    done = Artifacts(str(tmp_path)).finished()
    assert {plan.stages[fingerprint].images.name for fingerprint in done} == {"digits"}
    assert len(done) == 5


def test_processes_stop_on_a_signal_and_save_checkpoints(home: Path, tmp_path: Path) -> None:
    plan = plan_study(long_study(epochs=3000, seeds=[0, 1]), home)
    timer: list[threading.Timer] = []

    def stop_soon(_: str, epoch: int) -> None:
        if epoch >= 3 and not timer:
            timer.append(threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)))
            timer[0].start()

    with pytest.raises(Stopped):
        train(plan, tmp_path, 2, stop_soon)
    artifacts = Artifacts(str(tmp_path))
    assert all(artifacts.exists(fingerprint, "checkpoint") for fingerprint in plan.stages)
