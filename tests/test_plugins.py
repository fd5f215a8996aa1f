"""From a plugin file of 20 lines to a chart, on workers and after the plugin is gone."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from app.export.report import report
from app.export.zip import everything
from app.words import plain
from data import parquet
from data.database.database import Database
from data.plugins.checks import TABLES
from data.settings import settings
from engine.registry import STARTS
from engine.study.plan import Stage, plan
from engine.study.spec import StudyError, load_study
from tasks.process import ROOT
from tasks.queue import telemetry
from tasks.studies.planning import plan_study
from tasks.worker.engine_check import OtherEngine, check_engine
from tasks.worker.local import run
from tests.app.conftest import database as database
from tests.app.conftest import empty_caches as empty_caches
from tests.app.dashboard import open_page, texts
from tests.data.made_results import Stream, whole_study
from tests.machine import Machine, tiny_study
from tests.plugged import EXAMPLES, forgotten, gone, plug
from tests.tasks.conftest import Command
from tests.tasks.conftest import command as command
from tests.test_adding import STUDY, everything_on, study_tab


@pytest.fixture(autouse=True)
def unplugged(home: Path) -> Iterator[None]:
    del home
    with forgotten():
        yield


def test_the_example_of_a_network_is_a_file_of_20_lines() -> None:
    lines = [line for line in (EXAMPLES / "lenet5.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 20


def test_files_lead_to_charts_which_outlive_them(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {kind: dict(table.data) for kind, table in TABLES.items()}
    plug(monkeypatch, EXAMPLES)
    planned = plan_study(load_study(EXAMPLES / "stripes.toml"), settings().home)
    # The two processes know the plugin by the settings alone.
    results = run(planned, settings().artifacts, settings(), ["cpu", "cpu"], lambda *_: None)
    database.record(whole_study(Stream(), planned, STUDY, results))
    starts, pruners = ("winning_ticket", "halfway"), ("movement", "increase")
    rows = parquet.tables_from_results(planned, results)["accuracy"].to_pylist()
    points = {(row["pruner"], row["sparsity"], row["start"]) for row in rows if row["pruner"]}
    assert points == {(pruner, sparsity, start) for pruner in pruners for sparsity in (0.5, 0.8) for start in starts}
    assert all(row["network"] == "lenet5" and row["test_accuracy"] is not None for row in rows)

    shown = everything_on(study_tab("Accuracy"))
    for text in ("magnitude increase", "halfway", "(θ₀+θ_T)/2⊙m"):
        assert text in shown
    page = report(database, STUDY)
    assert "LeNet-5" in page
    assert "Stripes" in page
    assert plain("LeNet-5") in texts(open_page("views/glossary.py"))
    form = open_page("views/new_study.py")
    assert "LeNet-5" in form.multiselect(key="field-networks").options
    assert "halfway" in form.pills(key="field-starts").options

    # The plugin is gone, as after a new installation of this machine.
    gone(before)
    for tab in ("Overview", "Progress", "Overlap", "Verdicts"):
        study_tab(tab)
    assert "halfway" in everything_on(study_tab("Accuracy"))
    assert "halfway" in everything_on(open_page("views/compare.py", s=STUDY))
    open_page("views/studies.py")
    assert "lenet5" in report(database, STUDY)
    with zipfile.ZipFile(BytesIO(everything(database, STUDY))) as archive:
        assert any(name.endswith(".svg") and "accuracy" in name and "lenet5" in name for name in archive.namelist())
    assert "halfway" in parquet.tables_from_database(database, STUDY)["accuracy"]["start"].to_pylist()
    # It cannot be launched anew without it.
    with pytest.raises(StudyError, match="'lenet5' is not a known network"):
        load_study(EXAMPLES / "stripes.toml")


def test_commands_warn_of_a_plugin_that_fails_and_list_those_that_do_not(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.py").write_text("import hashlib\n\nhashlib.nowhere\n")
    monkeypatch.setenv("TICKETSCOPE_PLUGINS", f"{EXAMPLES / 'stripes.py'},{tmp_path / 'bad.py'}")
    code, output, error = command("plugins")
    assert code == 1
    assert "dataset   stripes  content " in output
    assert f"not loaded: {tmp_path / 'bad.py'}, line 3: AttributeError: " in output
    code, output, error = command("plan", "demo", "--json")
    assert code == 0
    assert output.startswith("{")
    assert f"warning: the plugin {tmp_path / 'bad.py'} is not loaded: {tmp_path / 'bad.py'}, line 3" in error


def test_a_worker_loads_plugins_and_says_which_it_cannot_load(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("1 / 0\n")
    plug(monkeypatch, EXAMPLES / "lenet5.py", bad)
    # The recorder needs none.
    monkeypatch.delenv("TICKETSCOPE_PLUGINS")
    machine.recorder()
    monkeypatch.setenv("TICKETSCOPE_PLUGINS", f"{EXAMPLES / 'lenet5.py'},{bad}")
    machine.worker()
    dense = {"networks": ["lenet5"], "pruners": [], "sparsities": [], "starts": []}
    machine.wait_until(machine.launch(tiny_study(**dense)))
    [worker] = telemetry.known_workers(machine.redis)
    assert worker.warning == f"the plugin {bad} is not loaded: {bad}, line 1: ZeroDivisionError: division by zero"


def first_stage(study: Path) -> Stage:
    return next(iter(plan(load_study(study), {"digits": "0" * 32}).stages.values()))


def test_a_worker_without_the_plugin_or_with_other_code_refuses_with_its_name_and_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {kind: dict(table.data) for kind, table in TABLES.items()}
    copy = tmp_path / "lenet5.py"
    copy.write_text((EXAMPLES / "lenet5.py").read_text())
    [plugin] = plug(monkeypatch, copy)
    loaded, stage = plugin.added[0].identity, first_stage(EXAMPLES / "lenet5.toml")
    check_engine(stage, stage.fingerprint)
    copy.write_text(copy.read_text().replace("120", "121"))
    edited = first_stage(EXAMPLES / "lenet5.toml")
    assert edited.fingerprint != stage.fingerprint
    with pytest.raises(OtherEngine, match=rf"network lenet5 \(code \w+ planned, {loaded} loaded\)"):
        check_engine(edited, edited.fingerprint)
    gone(before)
    with pytest.raises(OtherEngine) as refused:
        check_engine(stage, stage.fingerprint)
    assert f"names the network 'lenet5' ({loaded} planned), which this worker does not know" in str(refused.value)
    assert "if it comes from a plugin, name the same one in TICKETSCOPE_PLUGINS on this host" in str(refused.value)


def test_a_failing_plugin_is_named_on_the_pages_that_show_what_plugins_add(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database
    bad = tmp_path / "bad.py"
    bad.write_text("1 / 0\n")
    plug(monkeypatch, bad)
    for page in ("new_study", "glossary", "workers"):
        warnings = [warning.value.replace("\\", "") for warning in open_page(f"views/{page}.py").warning]
        assert f"The plugin {bad} is not loaded: {bad}, line 1: ZeroDivisionError: division by zero" in warnings


def test_a_study_that_leaves_its_starts_out_means_the_same_with_and_without_plugins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plug(monkeypatch, EXAMPLES / "halfway.py")
    assert "halfway" in STARTS
    assert "halfway" not in load_study(ROOT / "studies" / "demo.toml").model_copy().starts
