"""The command `run`: the tables that it writes, and its exit code."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console

from data.settings import settings
from engine.study.spec import load_study, to_toml
from tasks.cli.run import run_study
from tests.machine import diverging_study, tiny_study
from tests.tasks.conftest import Command


def test_run_writes_the_tables_and_does_nothing_the_second_time(
    command: Command, toml: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, output, _ = command("run", toml(), "--out", str(out), "--jobs", "1")
    assert code == 0
    assert "accuracy.parquet" in output
    # There are 1 dense network, and 2 starts for each pruner and sparsity.
    assert pq.read_table(out / "accuracy.parquet").num_rows == 9
    assert pq.read_table(out / "epochs.parquet").num_rows == 9 * 4
    assert load_study(out / "study.toml") == tiny_study()
    before = {file: file.stat().st_mtime_ns for file in (out / "artifacts").rglob("*.*")}
    assert command("run", toml(), "--out", str(out), "--jobs", "2")[0] == 0
    assert {file: file.stat().st_mtime_ns for file in (out / "artifacts").rglob("*.*")} == before


def test_a_stage_that_fails_makes_run_fail(command: Command, toml: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "artifacts").mkdir(parents=True)
    # A file takes the place of the folder of all weights.
    (out / "artifacts" / "weights").touch()
    code, output, _ = command("run", toml(), "--out", str(out), "--jobs", "1")
    assert code == 1
    assert "not finished" in output
    # The one that failed is told at once, and with it what it blocks.
    assert re.search(
        r" failed: lenet300 on digits, .*, dense, 4 epochs: ArtifactError: .*; 0 of 7 trainings done", output
    )
    assert "0 left, 1 failed, 6 blocked" in output
    assert "ArtifactError" in output


def test_a_diverging_study_is_run_to_its_end(command: Command, tmp_path: Path) -> None:
    file, out = tmp_path / "diverging.toml", tmp_path / "out"
    file.write_text(to_toml(diverging_study()))
    assert command("run", str(file), "--out", str(out), "--jobs", "1")[0] == 0
    rows = pq.read_table(out / "accuracy.parquet").to_pandas().set_index("learning_rate")
    assert len(rows) == 18
    assert rows.loc[0.1, "test_accuracy"].notna().all()
    assert rows.loc[0.1, "diverged_epoch"].isna().all()
    assert rows.loc[10.0, "test_accuracy"].isna().all()
    assert sorted(rows.loc[10.0, "diverged_epoch"].unique()) == [0, 1]


def test_without_a_terminal_run_writes_plain_lines_and_in_one_a_bar(home: Path, tmp_path: Path) -> None:
    # The lines are longer than the 80 columns that a console has without a terminal.
    log, screen = io.StringIO(), io.StringIO()
    folder = tmp_path / ("long" * 20)
    run_study(settings(), tiny_study(), folder, ["cpu"], Console(file=log))
    *lines, last = log.getvalue().splitlines()
    assert last == f"wrote accuracy.parquet, overlap.parquet, epochs.parquet, claims.parquet and study.toml to {folder}"
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line) for line in lines), lines
    # The line is written by a thread, beside which the first trainings may have ended.
    assert re.match(r".{20}training on 1 process; \d of 7 trainings done, \d left", lines[0])
    assert re.search(
        r"done: lenet300 on digits, lr 0.1, seed 0, .* \d\d\.\d\d % in \d+ s; 7 of 7 trainings done, 0 left$", lines[-1]
    )
    assert not re.search("[\x1b\r]", log.getvalue())
    # Each training has its line.
    assert len([line for line in lines if " done: " in line]) == 7
    run_study(settings(), tiny_study(seeds=[1]), tmp_path / "bar", ["cpu"], Console(file=screen, force_terminal=True))
    assert "\x1b" in screen.getvalue()
    assert "100%" in screen.getvalue()
    assert "trainings done" not in screen.getvalue()
