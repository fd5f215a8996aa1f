"""Results of before are completed from their weights, once, whoever is killed or starts beside."""

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
from tests.data.made_results import Stream, contents, of_before, whole_study
from tests.machine import Machine, tiny_study, wait_for
from tests.tasks.conftest import Command


class Home:
    """A home whose one study was trained for real, and recorded as an older version would have recorded it."""

    def __init__(self, plan: Plan, whole: dict[str, StageResult]) -> None:
        self.plan = plan
        self.whole = whole
        self.artifacts = Artifacts(settings().artifacts)
        self.database = Database(settings().database)
        self.retrained = [fingerprint for fingerprint, stage in plan.stages.items() if stage.kind == "retrain"]

    def make_old(self) -> None:
        for fingerprint, result in self.whole.items():
            self.artifacts.finish(fingerprint, of_before(result))
        results = {fingerprint: of_before(result) for fingerprint, result in self.whole.items()}
        self.database.record(whole_study(Stream(), self.plan, results=results))

    def kept(self) -> dict[str, StageResult | None]:
        return {fingerprint: self.artifacts.result(fingerprint) for fingerprint in self.plan.stages}

    def assert_whole(self, tmp_path: Path) -> None:
        assert self.kept() == self.whole
        other = Database(tmp_path / "whole.duckdb")
        other.record(whole_study(Stream(), self.plan, results=self.whole))
        found, wanted = contents(self.database.path), contents(other.path)
        assert found["results"] == wanted["results"]
        assert found["overlap_counts"] == wanted["overlap_counts"]


@pytest.fixture
def of_before_home(home: Path) -> Home:
    plan = plan_study(tiny_study(), home)
    made = Home(plan, local.run(plan, settings().artifacts, settings(), ["cpu"], lambda *_: None))
    made.make_old()
    return made


def process(*arguments: str) -> "subprocess.Popen[bytes]":
    command = python("-m", "tasks", "remeasure", *arguments)
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_results_of_before_are_completed_once(command: Command, of_before_home: Home, tmp_path: Path) -> None:
    made = of_before_home
    code, shown, error = command("remeasure")
    assert code == 0, error
    assert shown.strip() == f"{len(made.retrained)} results completed"
    made.assert_whole(tmp_path)
    # Sealed as any other, with the hash of what it holds now.
    for file in Path(made.artifacts.url, "results").iterdir():
        assert "blake2b" in json.loads(file.read_text())
    times = {file: file.stat().st_mtime_ns for file in Path(made.artifacts.url, "results").iterdir()}
    assert command("remeasure")[1].strip() == "no recorded result lacks anything"
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_what_weights_no_longer_say_is_counted_and_the_others_are_completed(
    command: Command, of_before_home: Home
) -> None:
    made = of_before_home
    lost, *others = made.retrained
    made.artifacts.delete(lost, "mask")
    code, shown, error = command("remeasure")
    assert code == 0, error
    assert f"{len(others)} results completed; 1 cannot be completed" in shown
    assert [row.fingerprint for row in incomplete(made.database)] == [lost]
    assert made.artifacts.result(lost) == of_before(made.whole[lost])
    with serving(settings()):
        assert remeasure(settings(), lambda *_: None, at_start=True) == Remeasured(0, 1)


def test_a_result_that_was_completed_but_not_told_of_is_told_even_without_its_weights(
    command: Command, of_before_home: Home, tmp_path: Path
) -> None:
    made = of_before_home
    for fingerprint in made.retrained:
        made.artifacts.finish(fingerprint, made.whole[fingerprint])
        made.artifacts.delete(fingerprint, "mask")
    assert command("remeasure")[0] == 0
    made.assert_whole(tmp_path)


def test_a_damaged_result_or_mask_holds_up_no_other(command: Command, of_before_home: Home) -> None:
    made = of_before_home
    one, other, *others = made.retrained
    path = Path(made.artifacts.url, "results", f"{one}.json")
    path.write_text(path.read_text().replace("0.", "1.", 1))
    mask = Path(made.artifacts.url, "weights", other, "mask.safetensors")
    mask.write_bytes(mask.read_bytes()[:-1])
    code, shown, error = command("remeasure")
    assert code == 0, error
    assert f"{len(others)} results completed; 2 cannot" in shown


def test_a_recorder_that_runs_fills_them_in(machine: Machine, of_before_home: Home, tmp_path: Path) -> None:
    machine.recorder()
    assert process("--at-start").wait(120) == 0
    wait_for(lambda: incomplete(machine.database) == [])
    of_before_home.assert_whole(tmp_path)


def test_killed_in_the_middle_and_begun_twice_it_ends_as_if_nothing_was(
    machine: Machine, of_before_home: Home, tmp_path: Path
) -> None:
    made = of_before_home
    first = made.retrained[0]
    old = made.kept()
    killed = process()
    # Killed between what is written and what is told of it.
    wait_for(lambda: made.kept() != old)
    killed.kill()
    killed.wait()
    assert {row.fingerprint for row in incomplete(made.database)} == set(made.retrained)
    both = [process(), process()]
    assert [one.wait(120) for one in both] == [0, 0]
    assert process().wait(120) == 0
    recorder.drain_idle(machine.config)
    assert made.artifacts.result(first) == made.whole[first]
    made.assert_whole(tmp_path)


@pytest.mark.usefixtures("redis")
def test_a_result_that_goes_meanwhile_does_not_come_back(of_before_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    made = of_before_home
    complete = completing.complete

    def deleting(stage, result, weights):
        found = complete(stage, result, weights)
        made.artifacts.unfinish(result.fingerprint)
        return found

    monkeypatch.setattr(completing, "complete", deleting)
    done = remeasure(settings(), lambda *_: None)
    assert done is not None
    assert done.completed == 0
    assert not made.artifacts.finished() & set(made.retrained)


def test_run_completes_the_results_in_its_own_folder(home: Path, tmp_path: Path) -> None:
    plan, folder = plan_study(tiny_study(), home), str(tmp_path / "out")
    whole = local.run(plan, folder, settings(), ["cpu"], lambda *_: None)
    artifacts = Artifacts(folder)
    lost = next(fingerprint for fingerprint, stage in plan.stages.items() if stage.start == "finetune")
    for fingerprint, result in whole.items():
        artifacts.finish(fingerprint, of_before(result))
    artifacts.delete(lost, "mask")
    again = local.run(plan, folder, settings(), ["cpu"], lambda *_: None)
    assert again == {**whole, lost: of_before(whole[lost])}
    assert {fingerprint: artifacts.result(fingerprint) for fingerprint in whole} == again


def test_without_a_database_it_says_where_to_do_it(command: Command) -> None:
    code, _, error = command("remeasure")
    assert code == 2
    assert "there is no database" in error
