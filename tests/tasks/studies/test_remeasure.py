"""Earlier results are completed from their weights once, also if the process is killed or runs twice."""

import json
import subprocess
from pathlib import Path

import pytest

from data.artifacts.store import Artifacts
from data.database.database import Database
from data.queries.incomplete import incomplete
from data.settings import settings
from engine.stages import complete as completing
from engine.study.plan import Plan
from engine.study.results import StageResult
from tasks.broker.server import serving
from tasks.process import ROOT, python
from tasks.services import recorder
from tasks.studies.planning import plan_study
from tasks.studies.remeasure import Remeasured, remeasure
from tasks.worker import local
from tests.data.made_results import Stream, contents, whole_study, without_masks
from tests.machine import Machine, tiny_study, wait_for
from tests.tasks.conftest import Command


class Home:
    """A home whose only study was really trained, and then recorded as an earlier version would have."""

    def __init__(self, plan: Plan, whole: dict[str, StageResult]) -> None:
        self.plan = plan
        self.whole = whole
        self.artifacts = Artifacts(settings().artifacts)
        self.database = Database(settings().database)
        self.retrained = [fingerprint for fingerprint, stage in plan.stages.items() if stage.kind == "retrain"]

    def make_old(self) -> None:
        for fingerprint, result in self.whole.items():
            self.artifacts.finish(fingerprint, without_masks(result))
        results = {fingerprint: without_masks(result) for fingerprint, result in self.whole.items()}
        self.database.record(whole_study(Stream(), self.plan, results=results))

    def saved_results(self) -> dict[str, StageResult | None]:
        return {fingerprint: self.artifacts.result(fingerprint) for fingerprint in self.plan.stages}

    def assert_whole(self, tmp_path: Path) -> None:
        assert self.saved_results() == self.whole
        other = Database(tmp_path / "whole.duckdb")
        other.record(whole_study(Stream(), self.plan, results=self.whole))
        tables, expected = contents(self.database.path), contents(other.path)
        assert tables["results"] == expected["results"]
        assert tables["overlap_counts"] == expected["overlap_counts"]


@pytest.fixture
def earlier_home(home: Path) -> Home:
    plan = plan_study(tiny_study(), home)
    earlier = Home(plan, local.run(plan, settings().artifacts, settings(), ["cpu"], lambda *_: None))
    earlier.make_old()
    return earlier


def process(*arguments: str) -> "subprocess.Popen[bytes]":
    command = python("-m", "tasks", "remeasure", *arguments)
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_earlier_results_are_completed_once(command: Command, earlier_home: Home, tmp_path: Path) -> None:
    earlier = earlier_home
    code, output, error = command("remeasure")
    assert code == 0, error
    assert output.strip() == f"{len(earlier.retrained)} results completed"
    earlier.assert_whole(tmp_path)
    # A completed file holds the hash of its new content.
    for file in Path(earlier.artifacts.url, "results").iterdir():
        assert "blake2b" in json.loads(file.read_text())
    times = {file: file.stat().st_mtime_ns for file in Path(earlier.artifacts.url, "results").iterdir()}
    assert command("remeasure")[1].strip() == "no recorded result lacks anything"
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_results_without_weights_are_counted_and_the_others_are_completed(command: Command, earlier_home: Home) -> None:
    earlier = earlier_home
    lost, *others = earlier.retrained
    earlier.artifacts.delete(lost, "mask")
    code, output, error = command("remeasure")
    assert code == 0, error
    assert f"{len(others)} results completed; 1 cannot be completed" in output
    assert [row.fingerprint for row in incomplete(earlier.database)] == [lost]
    assert earlier.artifacts.result(lost) == without_masks(earlier.whole[lost])
    with serving(settings()):
        assert remeasure(settings(), lambda *_: None, at_start=True) == Remeasured(0, 1)


def test_a_completed_but_unreported_result_is_reported_even_without_its_weights(
    command: Command, earlier_home: Home, tmp_path: Path
) -> None:
    earlier = earlier_home
    for fingerprint in earlier.retrained:
        earlier.artifacts.finish(fingerprint, earlier.whole[fingerprint])
        earlier.artifacts.delete(fingerprint, "mask")
    assert command("remeasure")[0] == 0
    earlier.assert_whole(tmp_path)


def test_a_damaged_result_or_mask_does_not_block_the_others(command: Command, earlier_home: Home) -> None:
    earlier = earlier_home
    first, second, *others = earlier.retrained
    path = Path(earlier.artifacts.url, "results", f"{first}.json")
    path.write_text(path.read_text().replace("0.", "1.", 1))
    mask = Path(earlier.artifacts.url, "weights", second, "mask.safetensors")
    mask.write_bytes(mask.read_bytes()[:-1])
    code, output, error = command("remeasure")
    assert code == 0, error
    assert f"{len(others)} results completed; 2 cannot" in output


def test_a_running_recorder_records_the_completions(machine: Machine, earlier_home: Home, tmp_path: Path) -> None:
    machine.recorder()
    assert process("--at-start").wait(120) == 0
    wait_for(lambda: incomplete(machine.database) == [])
    earlier_home.assert_whole(tmp_path)


def test_a_killed_and_then_doubled_remeasure_completes_every_result(
    machine: Machine, earlier_home: Home, tmp_path: Path
) -> None:
    earlier = earlier_home
    first = earlier.retrained[0]
    old = earlier.saved_results()
    killed = process()
    # The process is killed after it wrote a result and before it reports any.
    # Between two looks of `wait_for` it may go through all results.
    while earlier.saved_results() == old:
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    assert {row.fingerprint for row in incomplete(earlier.database)} == set(earlier.retrained)
    both = [process(), process()]
    assert [running.wait(120) for running in both] == [0, 0]
    assert process().wait(120) == 0
    recorder.drain_idle(machine.config)
    assert earlier.artifacts.result(first) == earlier.whole[first]
    earlier.assert_whole(tmp_path)


@pytest.mark.usefixtures("redis")
def test_a_result_deleted_meanwhile_is_not_written_again(earlier_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = earlier_home
    complete = completing.complete

    def deleting(stage, result, weights):
        completed = complete(stage, result, weights)
        earlier.artifacts.unfinish(result.fingerprint)
        return completed

    monkeypatch.setattr(completing, "complete", deleting)
    done = remeasure(settings(), lambda *_: None)
    assert done is not None
    assert done.completed == 0
    assert not earlier.artifacts.finished() & set(earlier.retrained)


def test_run_completes_the_results_in_its_own_folder(home: Path, tmp_path: Path) -> None:
    plan, folder = plan_study(tiny_study(), home), str(tmp_path / "out")
    whole = local.run(plan, folder, settings(), ["cpu"], lambda *_: None)
    artifacts = Artifacts(folder)
    lost = next(fingerprint for fingerprint, stage in plan.stages.items() if stage.start == "finetune")
    for fingerprint, result in whole.items():
        artifacts.finish(fingerprint, without_masks(result))
    artifacts.delete(lost, "mask")
    again = local.run(plan, folder, settings(), ["cpu"], lambda *_: None)
    assert again == {**whole, lost: without_masks(whole[lost])}
    assert {fingerprint: artifacts.result(fingerprint) for fingerprint in whole} == again


def test_the_error_without_a_database_says_where_to_run_remeasure(command: Command) -> None:
    code, _, error = command("remeasure")
    assert code == 2
    assert "there is no database" in error
