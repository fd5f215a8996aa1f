"""The commands about studies: their output, files and errors."""

import io
import json
import os
import pty
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from redis import Redis
from rich.console import Console

from data.database.database import Database
from data.settings import settings
from engine.study.spec import load_study, to_toml
from tasks.broker.server import serving
from tasks.cli import tables, watch
from tasks.process import ROOT, python
from tasks.queue import leases, telemetry
from tests.app.made_study import record
from tests.machine import Machine, diverging_study, endless_study, folder_of_images, tiny_study, wait_for
from tests.tasks.conftest import Command
from tests.tasks.queue.test_telemetry import worker

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
        (('name = "Tiny"', 'name = "Tiny"\nseedz = [1]'), ("seedz", "Allowed")),
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
    code, output, error = command(*arguments, toml(change))
    assert code == 2
    assert output == ""
    assert error.startswith("error:")
    assert "Traceback" not in error
    assert all(word in error for word in words), error


def test_the_plan_of_the_whole_paper_states_what_sharing_saves(command: Command) -> None:
    code, output, _ = command("plan", "paper:all", "--json")
    planned = json.loads(output)
    assert code == 0
    assert planned["trainings"] < 0.6 * planned["trainings_one_by_one"]
    assert planned["scaling"] == []


def test_the_plan_of_a_scaled_figure_states_its_scaling(command: Command) -> None:
    code, output, _ = command("plan", "paper:fig13", "--scale", "SMALL")
    assert code == 0
    assert "digits in place of the paper's datasets" in output
    assert "3 seeds instead of 5" in output


def test_plan_counts_stages_and_estimates_time(command: Command, toml: Callable[..., str]) -> None:
    code, output, _ = command("plan", toml(), "--json")
    planned = json.loads(output)
    assert code == 0
    assert {key: planned[key] for key in ("study", "stages", "trainings", "reused", "remaining", "by_kind")} == {
        "study": "Tiny",
        "stages": 7,
        "trainings": 7,
        "reused": 0,
        "remaining": 7,
        "by_kind": {"pretrain": 1, "retrain": 6},
    }
    assert planned["estimated_seconds"] > 0
    assert planned["workers"] >= 1
    assert "remaining" in command("plan", toml())[1]


def test_a_plan_states_what_each_round_removes(command: Command, toml: Callable[..., str]) -> None:
    description = "one round each: 50 % removes 50 % of what is left; 90 % removes 80 %: the paper removes 15 %"
    assert f"iterative pruning: {description}" in command("plan", toml())[1]
    assert json.loads(command("plan", toml(), "--json")[1])["rounds"] == [description]
    planned = json.loads(command("plan", toml((SPARSITIES, "sparsities = [0.386]\nround_rate = 0.15")), "--json")[1])
    assert planned["rounds"] == ["38.6 % in 3 rounds of 15 %"]
    # The ticket is trained at two rounds in between; one-shot pruning to 38.6 % is a stage of its own.
    assert planned["by_kind"] == {"pretrain": 1, "retrain": 2 + 2 + 2}


def test_warnings_are_printed_before_a_launch_and_beside_errors(command: Command, toml: Callable[..., str]) -> None:
    odd = toml(('augmentation = "none"', 'augmentation = "crop"'))
    code, output, error = command("plan", odd)
    assert code == 0
    assert "warning: recipe.augmentation: images of digits are 8 x 8 pixels" in error
    assert "warning" not in output
    [warning] = json.loads(command("plan", odd, "--json")[1])["warnings"]
    assert warning["field"] == "recipe.augmentation"
    code, output, error = command("launch", odd)
    assert code == 0
    assert "warning: recipe.augmentation" in error
    assert "launched" in output
    both = toml(('augmentation = "none"', 'augmentation = "crop"'), (SPARSITIES, "sparsities = [0.5, 0.9999]"))
    for verb in (("plan",), ("launch",), ("run", "--out", "/nowhere/at/all")):
        code, _, error = command(*verb, both)
        assert code == 2
        assert error.count("warning: recipe.augmentation") == 1
        assert "sparsities: on digits, at 99.99 % no weight of fc3.weight (1,000)" in error


def test_a_study_is_launched_cancelled_retried_trained_and_exported(
    command: Command, toml: Callable[..., str], machine: Machine, tmp_path: Path
) -> None:
    code, output, error = command("launch", toml())
    assert code == 0
    assert "no workers" in error
    study_id = output.split()[-1]
    # The study is listed although no recorder runs.
    output = command("status")[1]
    assert study_id[:6] in output
    assert output.splitlines()[-1].strip() == "0 workers"
    code, output, _ = command("status", study_id[:4])
    assert code == 0
    assert "1 queued" in output
    assert "cancelled 7 stages" in command("cancel", study_id[:4])[1]
    assert "cancelled" in command("status", study_id)[1]
    assert command("retry", study_id[:4])[0] == 0
    machine.worker()
    machine.recorder()
    code, output, _ = command("launch", toml(), "--again", "--wait")
    assert code == 0
    *_, last = [line for line in output.splitlines() if "trainings done" in line]
    assert last.endswith("; 7 of 7 trainings done, 0 left, 0 in training")
    assert re.search(r"^.{20}done: lenet300 on digits, .*: \d\d\.\d\d % in \d+ s;", last)
    code, output, error = command("export", study_id[:5], "--out", str(tmp_path / "exported"))
    assert (code, error.startswith("home ")) == (0, True)
    assert pq.read_table(tmp_path / "exported" / "accuracy.parquet").num_rows == 9
    assert load_study(tmp_path / "exported" / "study.toml") == tiny_study()
    assert "studies were launched here before" in command("launch", toml(), "--if-empty")[1]


def test_status_and_wait_say_how_long_a_study_takes_and_when_it_is_done(
    command: Command, machine: Machine, database: Database
) -> None:
    def half(index: int, stage: object) -> str:
        del stage
        return "done" if index < 3 else "running" if index == 3 else "waiting"

    plan = record(database, tiny_study(), half)
    leases.register(machine.redis, "made-study-0001", {}, (), ())
    telemetry.beat(machine.redis, worker("h:1", stage=list(plan.stages)[3]))
    # Three stages of two seconds are left, the first of which is half trained.
    line = command("status", "made-study-0001")[1].splitlines()[1]
    assert re.fullmatch(r"about \d+ s left, done about \d\d:\d\d( on .*)?", line)
    left = iter([75.0, None])
    counts = iter([Counter(running=1), Counter(done=1)])
    console = Console(file=io.StringIO(), width=150, force_terminal=True)
    tables.watch(console, "study", lambda: next(counts), lambda: next(left))
    assert "about 1 min 15 s left, done about " in console.file.getvalue()


def test_waiting_for_a_study_that_fails_exits_with_1(command: Command, machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    images, file = folder_of_images(tmp_path / "images"), tmp_path / "study.toml"
    file.write_text(
        to_toml(tiny_study(datasets=[f"folder:{images}"], train_images=None, test_images=None, pruners=["oneshot"]))
    )
    waiting = machine.start("-m", "tasks", "launch", str(file), "--wait", log="launch")
    [study_id] = wait_for(lambda: leases.studies(machine.redis))
    images.rename(tmp_path / "hidden")
    # The cached images are removed too, as on another host.
    shutil.rmtree(machine.config.datasets, ignore_errors=True)
    machine.worker()
    assert waiting.wait(timeout=90.0) == 1
    log = (machine.logs / "launch.log").read_text()
    assert "not done: " in log
    line = rf"failed: lenet300 on folder:{images}, lr 0.1, seed 0, dense, 4 epochs: no folder at {images}.*; 0 of 5"
    assert re.search(line, log)
    assert "0 left, 1 failed, 4 blocked, 0 in training" in log
    assert not re.search("[\x1b\r]", log)
    printed = " ".join(command("status", study_id)[1].split())
    assert f": no folder at {images}; a dataset is a folder with" in printed
    assert f"fix the cause, then: ticketscope retry {study_id}" in printed
    assert "1 failed, 4 blocked" in printed
    assert "blocked: 4 stages built on these, until a retry" in printed


def test_a_launch_lists_all_faulty_images_of_a_folder_and_queues_nothing(
    command: Command, redis: Redis, tmp_path: Path
) -> None:
    images, file = folder_of_images(tmp_path / "images"), tmp_path / "study.toml"
    file.write_text(to_toml(tiny_study(datasets=[f"folder:{images}"], train_images=None, test_images=None)))
    code, output, _ = command("plan", str(file))
    assert code == 0
    assert "launch checks that every image of the folder can be trained on" in output
    for name in ("train/dark/3.png", "test/light/1.png"):
        (images / name).write_bytes(b"")
    assert command("plan", str(file))[0] == 0
    listed = f"2 of the 60 images in {images} cannot be trained on; replace or remove them:\n"
    listed += "train/dark/3.png is empty\ntest/light/1.png is empty\n"
    # From the first launch on, a plan knows too.
    for verb in (("launch",), ("launch",), ("plan",), ("run", "--out", str(tmp_path / "out"))):
        code, output, error = command(*verb, str(file))
        # Some commands say first where they work.
        said = error[error.index("error: ") :]
        assert (code, said) == (2, f"error: {listed}")
        assert "launched" not in output
    assert leases.studies(redis) == []
    for name in ("train/dark/3.png", "test/light/1.png"):
        (images / name).unlink()
    code, output, _ = command("launch", str(file))
    assert code == 0
    assert "launched" in output
    assert "launch checks" not in command("plan", str(file))[1]


def test_run_lists_all_faulty_images_before_it_trains(command: Command, tmp_path: Path) -> None:
    images, file = folder_of_images(tmp_path / "images"), tmp_path / "study.toml"
    file.write_text(to_toml(tiny_study(datasets=[f"folder:{images}"], train_images=None, test_images=None)))
    for name in ("train/dark/3.png", "test/light/1.png"):
        (images / name).write_text("no image")
    code, _, error = command("run", str(file), "--out", str(tmp_path / "out"))
    assert code == 2
    assert [line.split(" is ")[0] for line in error.splitlines()[1:]] == ["train/dark/3.png", "test/light/1.png"]
    assert not list((tmp_path / "out").glob("artifacts/*/*"))


def test_a_check_that_takes_long_draws_a_bar() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    with pytest.MonkeyPatch.context() as patch, watch.images_shown(console) as say:
        patch.setattr(watch, "BAR_AFTER", -1.0)
        say("copying flowers", 0, 2048)
        say("checking the images in /data/flowers", 500, 1000)
        say("checking the images in /data/flowers", 1000, 1000)
    assert "copying flowers (2 KiB) ..." in text.getvalue()
    assert "checking the images in /data/flowers" in text.getvalue()
    assert "100%" in text.getvalue()
    with watch.images_shown(Console(file=(brief := io.StringIO()), force_terminal=True)) as say:
        say("checking the images in /data/flowers", 60, 60)
    assert brief.getvalue() == ""


def test_status_describes_divergences(command: Command, machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    machine.worker()
    file = tmp_path / "diverging.toml"
    file.write_text(to_toml(diverging_study(pruners=["oneshot"])))
    code, output, _ = command("launch", str(file), "--wait")
    assert code == 0
    assert "failed" not in output
    study_id = output.split(" as ")[1].split()[0]
    # The sentence is the same at any width of the terminal.
    assert (
        "diverged 1 training diverged and 4 made from it could not begin: lenet300 on digits, learning rate 10, seed 0."
    ) in " ".join(command("status", study_id)[1].split())


def at_a_terminal(answer: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command whose questions are answered at a terminal, and return its exit code, stdout and stderr."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        python("-m", "tasks", *arguments),
        cwd=ROOT,
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(end)
    os.write(terminal, f"{answer}\n".encode())
    output, error = process.communicate(timeout=120)
    os.close(terminal)
    return process.returncode, output, error


COSTS = re.compile(
    r"^long: 7 trainings, about .*\d+ (min|h) .* on \d+ workers?, done about \d\d:\d\d.*, and 2 MiB in the", re.M
)


def test_a_long_study_is_launched_only_after_an_answer_at_a_terminal(
    command: Command, redis: Redis, tmp_path: Path
) -> None:
    file = tmp_path / "long.toml"
    file.write_text(to_toml(endless_study()))
    code, output, error = at_a_terminal("n", "launch", str(file))
    assert code == 1
    assert "Launch Tiny? [y/N]" in output
    assert COSTS.search(error), error
    assert not leases.studies(redis)
    code, output, _ = at_a_terminal("y", "launch", str(file))
    assert code == 0
    assert "launched Tiny as" in output
    study_id = output.split()[-1]
    assert command("cancel", study_id)[0] == 0
    code, output, error = at_a_terminal("n", "retry", study_id)
    assert (code, f"Queue what is left of {study_id}? [y/N]" in output) == (1, True)
    assert COSTS.search(error)
    assert "cancelled" in leases.states(redis, leases.members(redis, study_id)).values()
    code, output, error = at_a_terminal("n", "launch", str(file), "--yes", "--again")
    assert (code, "?" in output) == (0, False)
    assert COSTS.search(error)
    # A script is not asked, but its log has the same line.
    code, output, error = command("launch", str(file), "--again")
    assert code == 0
    assert COSTS.search(error)
    assert len(leases.studies(redis)) == 3


def test_a_short_study_is_launched_without_a_question(command: Command, toml: Callable[..., str], redis: Redis) -> None:
    del redis
    code, output, error = at_a_terminal("n", "launch", toml())
    assert code == 0
    assert "launched Tiny as" in output
    assert "long:" not in error


def test_an_equal_launch_is_joined_without_a_terminal_and_asked_about_at_one(
    command: Command, toml: Callable[..., str], redis: Redis, tmp_path: Path
) -> None:
    first = command("launch", toml())[1].split()[-1]
    code, output, _ = command("launch", toml())
    assert code == 0
    assert output == f"joined Tiny, launched before as {first}; --again launches another\n"
    assert leases.studies(redis) == [first]

    code, refused, _ = at_a_terminal("n", "launch", toml())
    assert code == 0
    assert f"as {first}. Launch another? [y/N]" in refused
    assert f"joined Tiny, launched before as {first}" in refused
    assert "launched Tiny as" in at_a_terminal("y", "launch", toml())[1]
    code, output, _ = command("launch", toml(), "--again")
    assert output.startswith("launched Tiny as ")
    assert len(leases.studies(redis)) == 3


@pytest.mark.parametrize(
    "name", ["   ", "\u00a0", "\u200b\u2060", "\u3164"], ids=["spaces", "nbsp", "no width", "filler"]
)
def test_a_name_in_which_nothing_can_be_seen_is_refused(command: Command, toml: Callable[..., str], name: str) -> None:
    code, output, error = command("plan", toml(('name = "Tiny"', f'name = "{name}"')))
    assert (code, output) == (2, "")
    assert "shows nothing; give a name with letters or digits" in error


def test_every_command_prints_to_a_terminal_that_has_ascii_alone(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = to_toml(tiny_study(name="Prüfung ∂x 票 ←", note="für alle"))
    file = tmp_path / "stüdie.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("TICKETSCOPE_HOME", str(home.with_name("höme")))
    settings.cache_clear()
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    environment = {**os.environ, **ascii_alone}
    outputs: dict[str, str] = {}
    with serving(settings()):
        for verb, *arguments in (
            ("plan", str(file)), ("launch", str(file)), ("status",),
             ("plan", str(tmp_path / "fehlt-ö.toml")),
        ):  # fmt: skip
            done = subprocess.run(
                python("-m", "tasks", verb, *arguments), cwd=ROOT, env=environment, capture_output=True, timeout=300
            )
            assert b"Traceback" not in done.stderr, (verb, done.stderr)
            assert done.returncode == (2 if "fehlt" in "".join(arguments) else 0), (verb, done.stderr)
            outputs.setdefault(verb, (done.stdout + done.stderr).decode("ascii"))
    for verb in ("plan", "launch", "status"):
        assert r"Pr\xfcfung \u2202x \u7968 \u2190" in outputs[verb]
