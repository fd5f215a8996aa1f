"""Studies go from one home to another by commands."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from data.settings import settings
from tasks.broker.server import serving
from tasks.services import recorder
from tasks.studies import launch
from tests.machine import tiny_study
from tests.tasks.bundles.trained import train as train_for_real
from tests.tasks.conftest import Command
from tests.tasks.studies.test_rebuild import planned, train


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another home, in which commands work from here on, with its own queue."""
    monkeypatch.setenv("TICKETSCOPE_HOME", str(tmp_path / "elsewhere"))
    settings.cache_clear()
    with serving(settings()):
        yield tmp_path / "elsewhere"


@pytest.fixture
def files(redis: Redis, command: Command, tmp_path: Path) -> list[str]:
    """Bundles of two studies of a home: seed 0 by Lab A, and seed 1 by nobody, not complete."""
    del redis
    names = [str(tmp_path / "a.zip"), str(tmp_path / "b.zip")]
    for seed, count, name, options in ((0, 7, names[0], ("--from", "Lab A")), (1, 3, names[1], ())):
        study_id = launch.launch(tiny_study(seeds=[seed]))
        with serving(settings()) as queue:
            train(queue, planned(seeds=[seed]), count)
        recorder.drain_idle(settings())
        code, output, error = command("export", study_id, "--bundle", name, *options)
        assert code == 0, error
        assert f"wrote {name}: {count} results of 7 stages, " in output
        assert ("as Lab A, and says" if options else "without a name (--from LAB gives one)") in error
        assert ("the bundle holds the 3 stages that are done" in error) == (count == 3)
    return names


def test_studies_are_exported_imported_and_joined(
    files: list[str], elsewhere: Path, command: Command, tmp_path: Path
) -> None:
    code, output, _ = command("import", *files, "--join", "--name", "Ours")
    assert code == 0
    lines = output.splitlines()
    assert lines[0].startswith("imported Tiny from Lab A as ")
    assert lines[0].endswith(": 7 of 7 stages done")
    assert lines[1].endswith(": 3 of 7 stages done")
    assert lines[3].startswith("joined 2 seeds as ")
    assert ", Ours: 10 of 14 stages done; ticketscope retry " in lines[3]
    ids = [lines[0].split(" as ")[1][:10], lines[1].split(" as ")[1][:10]]
    status = " ".join(command("status", ids[0])[1].split())
    assert "imported 7 stages from Lab A, trained on cpu (laptop), on " in status
    assert "imported 3 stages from elsewhere, " in " ".join(command("status", ids[1])[1].split())
    code, output, _ = command("join", *ids)
    assert (code, "has these 2 seeds already: 10 of 14 stages done" in output) == (0, True)
    assert "nothing was added" in command("import", files[0])[1]
    assert (elsewhere / "ticketscope.duckdb").exists()
    # A faulty file among others is named, and the others are imported.
    faulty = tmp_path / "faulty.zip"
    faulty.write_bytes(Path(files[0]).read_bytes()[:-10])
    code, output, error = command("import", str(faulty), files[1], "--join")
    assert code == 2
    assert f"{faulty} cannot be imported: it does not end as a bundle does" in error
    assert "1 of 2 files were not imported, and nothing was joined" in error
    assert "Tiny is here already as " in output
    for arguments, reason in (
        (("import", str(tmp_path / "none.zip")), "there is no file"),
        (("import", str(tmp_path)), "is no file"),
        (("import", files[0], "--join"), "--join takes two files or more"),
        (("import", files[0], "--name", "x"), "give --join too"),
        (("export", "x"), "give --out DIR for tables to read, or --bundle FILE"),
        (("export", "x", "--out", "y", "--weights"), "give --bundle FILE too"),
    ):
        code, _, error = command(*arguments)
        assert (code, reason in error) == (2, True), error


def test_weights_are_listed_and_written(redis: Redis, command: Command, home: Path, tmp_path: Path) -> None:
    del redis
    train_for_real(planned(pruners=["oneshot"], sparsities=[0.5], starts=["winning_ticket", "finetune"]), home)
    code, output, error = command("weights", "there")
    assert code == 0, error
    assert output.count(" lenet300 ") == 3
    code, output, error = command("weights", "there", "--sparsity", "0.5", "--out", str(tmp_path / "one"))
    assert (code, "2 trainings fit; choose one by --start" in error) == (2, True)
    assert output.count(" lenet300 ") == 2
    code, output, _ = command("weights", "there", "--start", "finetune", "--out", str(tmp_path / "one"))
    assert code == 0
    assert "one: finetune, oneshot to sparsity 0.5: lenet300 on digits" in output
    assert json.loads((tmp_path / "one" / "config.json").read_text())["start"] == "finetune"
    code, output, _ = command("weights", "there", "--all", "--which", "initial", "--out", str(tmp_path / "all"))
    assert code == 0
    assert len(list((tmp_path / "all").glob("*/load.py"))) == 3
    code, output, _ = command("weights", "there", "--all", "--which", "rewind", "--out", str(tmp_path / "rewind"))
    assert code == 0
    assert len(list((tmp_path / "rewind").glob("*/load.py"))) == 1
