"""The command `run`: the tables that it writes, and its exit code."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from engine.study.spec import load_study, to_toml
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
