"""The commands about studies: what they print, write and refuse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.study.spec import load_study, to_toml
from tasks.queue import leases
from tests.machine import Machine, diverging_study, folder_of_images, tiny_study, wait_for
from tests.tasks.conftest import Command

SPARSITIES = "sparsities = [\n    0.5,\n    0.9,\n]"
RATES = "learning_rates = [\n    0.1,\n]"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((SPARSITIES, "sparsities = [1.2]"), ("sparsities", "1.2", "less than 1")),
        (('"lenet300"', '"lenet9000"'), ("networks", "lenet9000", "resnet20")),
        ((RATES, "learning_rates = [0]"), ("learning_rates", "greater than 0")),
        ((RATES, 'learning_rates = ["abc"]'), ("learning_rates", "abc", "number")),
        (('"digits"', '"folder:/no/such/folder"'), ("/no/such/folder",)),
        (('"digits"', '"digit"'), ("digit", "cifar10")),
        (('name = "Tiny"', 'name = "Tiny"\nseedz = [1]'), ("seedz", "allowed")),
        (('name = "Tiny"', "name = Tiny"), ("TOML", "study.toml")),
        (("train_images = 100", "train_images = 5000"), ("train_images", "5000", "1437")),
    ],
)
@pytest.mark.parametrize("verb", [("plan",), ("run", "--out", "{out}")])
def test_bad_studies_are_refused(
    command: Command,
    toml: Callable[..., str],
    tmp_path: Path,
    verb: tuple[str, ...],
    change: tuple[str, str],
    words: tuple[str, ...],
) -> None:
    arguments = [part.format(out=tmp_path / "out") for part in verb]
    code, shown, error = command(*arguments, toml(change))
    assert code == 2
    assert shown == ""
    assert error.startswith("error:")
    assert "Traceback" not in error
    assert all(word in error for word in words), error


def test_the_whole_paper_says_what_sharing_saves(command: Command) -> None:
    code, output, _ = command("plan", "paper:all", "--json")
    planned = json.loads(output)
    assert code == 0
    assert planned["trainings"] < 0.6 * planned["trainings_one_by_one"]
    assert planned["scaling"] == []


def test_a_scaled_figure_says_how_it_is_scaled(command: Command) -> None:
    code, output, _ = command("plan", "paper:fig13", "--scale", "SMALL")
    assert code == 0
    assert "digits in place of the paper's datasets" in output
    assert "3 seeds instead of 5" in output


def test_plan_counts_what_there_is_to_do(command: Command, toml: Callable[..., str]) -> None:
    code, shown, _ = command("plan", toml(), "--json")
    found = json.loads(shown)
    assert code == 0
    assert {key: found[key] for key in ("study", "stages", "trainings", "reused", "remaining", "by_kind")} == {
        "study": "Tiny",
        "stages": 7,
        "trainings": 7,
        "reused": 0,
        "remaining": 7,
        "by_kind": {"pretrain": 1, "retrain": 6},
    }
    assert found["estimated_seconds"] > 0
    assert found["workers"] >= 1
    assert "remaining" in command("plan", toml())[1]


def test_a_plan_says_what_each_round_removes(command: Command, toml: Callable[..., str]) -> None:
    said = "one round each: 50 % removes 50 % of what is left; 90 % removes 80 %: the paper removes 15 %"
    assert f"iterative pruning: {said}" in command("plan", toml())[1]
    assert json.loads(command("plan", toml(), "--json")[1])["rounds"] == [said]
    found = json.loads(command("plan", toml((SPARSITIES, "sparsities = [0.386]\nround_rate = 0.15")), "--json")[1])
    assert found["rounds"] == ["38.6 % in 3 rounds of 15 %"]
    # The ticket of two rounds in between; the first round of one-shot pruning is another.
    assert found["by_kind"] == {"pretrain": 1, "retrain": 2 + 2 + 2}


def test_what_is_odd_is_said_before_launching_and_beside_what_is_refused(
    command: Command, toml: Callable[..., str]
) -> None:
    odd = toml(('augmentation = "none"', 'augmentation = "crop"'))
    code, shown, said = command("plan", odd)
    assert code == 0
    assert "warning: recipe.augmentation: images of digits are 8 x 8 pixels" in said
    assert "warning" not in shown
    [warning] = json.loads(command("plan", odd, "--json")[1])["warnings"]
    assert warning["field"] == "recipe.augmentation"
    code, shown, said = command("launch", odd)
    assert code == 0
    assert "warning: recipe.augmentation" in said
    assert "launched" in shown
    both = toml(('augmentation = "none"', 'augmentation = "crop"'), (SPARSITIES, "sparsities = [0.5, 0.9999]"))
    for verb in (("plan",), ("launch",), ("run", "--out", "/nowhere/at/all")):
        code, _, said = command(*verb, both)
        assert code == 2
        assert said.count("warning: recipe.augmentation") == 1
        assert "sparsities: on digits, at 99.99 % no weight of fc3.weight (1,000)" in said


def test_a_study_is_launched_watched_shown_and_exported(
    command: Command, toml: Callable[..., str], machine: Machine, tmp_path: Path
) -> None:
    code, shown, error = command("launch", toml())
    assert code == 0
    assert "no workers" in error
    study_id = shown.split()[-1]
    # No recorder runs: what was launched is seen all the same.
    shown = command("status")[1]
    assert study_id[:6] in shown
    assert shown.splitlines()[-1].strip() == "0 workers"
    code, shown, _ = command("status", study_id[:4])
    assert code == 0
    assert "1 queued" in shown
    assert "cancelled 7 stages" in command("cancel", study_id[:4])[1]
    assert "cancelled" in command("status", study_id)[1]
    assert command("retry", study_id[:4])[0] == 0
    machine.worker()
    machine.recorder()
    code, shown, _ = command("launch", toml(), "--wait")
    assert code == 0
    assert "7/7" in shown
    code, shown, error = command("export", study_id[:5], "--out", str(tmp_path / "exported"))
    assert (code, error) == (0, "")
    assert pq.read_table(tmp_path / "exported" / "accuracy.parquet").num_rows == 9
    assert load_study(tmp_path / "exported" / "study.toml") == tiny_study()
    assert "studies were launched here before" in command("launch", toml(), "--if-empty")[1]


def test_waiting_for_a_study_that_fails_fails(command: Command, machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    images, file = folder_of_images(tmp_path / "images"), tmp_path / "study.toml"
    file.write_text(
        to_toml(tiny_study(datasets=[f"folder:{images}"], train_images=None, test_images=None, pruners=["oneshot"]))
    )
    waiting = machine.start("-m", "tasks", "launch", str(file), "--wait", log="launch")
    [study_id] = wait_for(lambda: leases.studies(machine.redis))
    images.rename(tmp_path / "hidden")
    # What was read of the folder is forgotten too, as on another host.
    shutil.rmtree(machine.config.datasets, ignore_errors=True)
    machine.worker()
    assert waiting.wait(timeout=90.0) == 1
    assert "1 failed" in (machine.logs / "launch.log").read_text()
    assert "DatasetError" in command("status", study_id)[1]


def test_status_says_what_diverged(command: Command, machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    machine.worker()
    file = tmp_path / "diverging.toml"
    file.write_text(to_toml(diverging_study(pruners=["oneshot"])))
    code, shown, _ = command("launch", str(file), "--wait")
    assert code == 0
    assert "failed" not in shown
    study_id = shown.split(" as ")[1].split()[0]
    # However wide the terminal.
    assert (
        "diverged 1 training diverged and 4 made from it could not begin: lenet300 on digits, learning rate 10, seed 0."
    ) in " ".join(command("status", study_id)[1].split())
