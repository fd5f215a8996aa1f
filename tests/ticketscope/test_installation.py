"""`import ticketscope as ts` over a study that was really trained, launched and recorded."""

import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import ticketscope as ts
from app.export.charts import CHARTS, places
from data import parquet
from data.database.database import Database
from data.queries import studies
from data.settings import ALLOWED, settings
from data.weights.choice import ChoiceError
from data.weights.saved import WeightsMissing
from docs import notebook
from engine.masks import content_hash, sparsity
from engine.study.spec import StudyError, to_toml
from tasks.broker.server import serving
from tasks.process import ROOT
from tasks.services.recorder import drain_idle
from tasks.studies.catalog import read
from tests.machine import Machine, tiny_study
from ticketscope import bars
from ticketscope.local import NoStudyHere, NothingHere, RecordedStudy, UnknownStudy
from ticketscope.pictures import NAMES, ChartError

TICKET = {"start": "winning_ticket", "sparsity": 0.9, "seed": 0, "learning_rate": 0.1, "pruner": "iterative"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the demo, trained for 2 epochs in this process, then launched and recorded without training."""
    home = tmp_path_factory.mktemp("installation")
    with pytest.MonkeyPatch.context() as environment:
        for variable in ALLOWED:
            environment.delenv(variable, raising=False)
        environment.setenv("TICKETSCOPE_CONFIG", os.devnull)
        environment.setenv("TICKETSCOPE_HOME", str(home))
        settings.cache_clear()
        whole = read("demo").model_dump()
        recipe = {**whole["recipe"], "epochs": 2}
        small = ts.Study.model_validate({**whole, "seeds": [0], "sparsities": [0.5, 0.9], "recipe": recipe})
        ts.run(small, home)
        with serving(settings()):
            ts.launch(to_toml(small))
            drain_idle(settings())
    settings.cache_clear()
    return home


@pytest.fixture
def demo(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedStudy]:
    """The study of that home, to which the settings point."""
    monkeypatch.setenv("TICKETSCOPE_HOME", str(trained))
    settings.cache_clear()
    yield ts.study("demo")
    settings.cache_clear()


def test_importing_the_package_is_light() -> None:
    slow = {"torch", "streamlit", "pandas", "duckdb", "altair", "celery"}
    script = f"import sys, ticketscope as ts; ts.Study; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tables_are_those_that_are_exported(demo: RecordedStudy, trained: Path, tmp_path: Path) -> None:
    parquet.write(parquet.tables_from_database(Database(settings().database), demo.study_id), tmp_path)
    for name in parquet.SCHEMAS:
        exported = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert len(exported)
        assert_frame_equal(getattr(demo, name)(), exported)
        # The same study was trained in this folder.
        assert_frame_equal(getattr(ts.open(trained), name)(), exported)
    assert demo.wait().state == "done"
    assert demo.progress().done == demo.progress().trainings > 20
    assert str(demo.progress()).startswith("done, ")
    assert demo.toml == to_toml(demo.settings)
    assert demo.name in repr(demo)
    assert list(ts.studies()["study_id"]) == [demo.study_id]


def test_a_study_is_found_by_name_id_or_the_beginning_of_either(demo: RecordedStudy) -> None:
    for name in (demo.study_id, demo.study_id[:4], demo.name, demo.name.upper(), "Demo: is"):
        assert ts.study(name).study_id == demo.study_id
    with pytest.raises(UnknownStudy, match=f"'zzz'.*there are {demo.study_id} "):
        ts.study("zzz")
    with pytest.raises(UnknownStudy, match="''"):
        ts.study("")


def test_several_studies_of_a_name_are_named_with_their_ids(home: Path) -> None:
    del home
    with serving(settings()):
        first, second = (ts.launch(tiny_study(), again=True) for _ in range(2))
        drain_idle(settings())
    with pytest.raises(UnknownStudy, match="2 studies are called 'tiny'; give the id of one") as refused:
        ts.study("tiny")
    assert first.study_id in str(refused.value)
    assert ts.study(second.study_id).name == "Tiny"


def test_a_home_without_studies_is_told_and_no_database_is_made(home: Path) -> None:
    for ask in (ts.studies, lambda: ts.study("demo")):
        with pytest.raises(NothingHere, match="TICKETSCOPE_HOME"):
            ask()
    assert not home.exists()


def test_charts_are_those_of_the_page_and_of_the_tables(demo: RecordedStudy, trained: Path) -> None:
    database = Database(settings().database)
    [place] = places(database, studies.study(database, demo.study_id))
    assert set(NAMES) == set(CHARTS)
    folder = ts.open(trained)
    with pytest.raises(ChartError, match="no training that it draws has finished"):
        demo.chart("admm")
    for name in CHARTS.keys() - {"admm", "ancestors"}:
        drawn = [picture.spec for picture in demo.chart(name)]
        if name in ("accuracy", "time"):
            assert drawn == [chart.picture for chart in CHARTS[name](place)]
        if name == "time":
            with pytest.raises(ChartError, match="not among the tables"):
                folder.chart(name)
        else:
            assert drawn == [picture.spec for picture in folder.chart(name)]


def test_a_chart_is_chosen_by_what_its_numbers_share(demo: RecordedStudy, tmp_path: Path) -> None:
    assert len(demo.chart("accuracy")) == 4
    [picture] = demo.chart("accuracy", learning_rate=0.1, pruner="oneshot", dataset="digits")
    assert set(picture.numbers()["learning_rate"]) == {0.1}
    assert "0.1" in picture.title
    shown = picture._repr_mimebundle_()
    assert shown["image/svg+xml"].startswith("<svg")
    assert shown["application/vnd.vegalite.v6+json"] == picture.spec
    assert picture.altair().to_dict()["title"] == picture.spec["title"]
    for ending in (".png", ".svg", ".csv"):
        assert picture.save(tmp_path / f"chart{ending}").stat().st_size > 500
    with pytest.raises(ChartError, match=r"\.png, \.svg, \.csv"):
        picture.save(tmp_path / "chart.pdf")
    with pytest.raises(ChartError, match=r"allowed: sweep: .*; accuracy: test accuracy"):
        demo.chart("acuracy")
    with pytest.raises(ChartError, match="do not differ by 'colour'; allowed: dataset, "):
        demo.chart("retention", colour="red")
    with pytest.raises(ChartError, match=r"there are learning_rate 0\.01, 0\.1"):
        demo.chart("layers", learning_rate=0.2)


def test_weights_are_chosen_by_as_many_settings_as_it_takes(demo: RecordedStudy, trained: Path) -> None:
    state, mask = demo.weights(**TICKET)
    assert sparsity(mask) == pytest.approx(0.9, abs=0.001)
    assert all(not state[layer][~kept].any() for layer, kept in mask.items())
    rows = demo.accuracy()
    row = rows[(rows[list(TICKET)] == pd.Series(TICKET)).all(axis=1)]
    assert list(row["mask"]) == [content_hash(mask)]
    # One-shot pruning at the first sparsity is the same training as the first round of iterative pruning.
    demo.weights(**{**TICKET, "sparsity": 0.5, "pruner": None})
    initial = demo.weights(which="initial", **TICKET).state
    dense = {"start": "dense", "seed": 0, "learning_rate": 0.1}
    assert demo.weights(**dense).mask == {}
    for start, of_dense in (("winning_ticket", "initial"), ("rewind", "rewind"), ("finetune", "trained")):
        begun = demo.weights(which="initial", **{**TICKET, "start": start}).state
        saved = demo.weights(which=of_dense, **dense).state
        assert all((begun[name] == saved[name]).all() for name in saved)
    drawn = demo.weights(which="initial", **{**TICKET, "start": "reinit"}).state
    assert drawn.keys() == initial.keys()
    assert not (drawn["fc1.weight"] == initial["fc1.weight"]).all()
    # A folder of `run` has weights too.
    again = ts.open(trained).weights(**TICKET)
    assert all((again.state[name] == state[name]).all() for name in state)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"start": "rewind"}, r"6 trainings of this study fit; give more of learning_rate \(0\.01, 0\.1\); pruner \("),
        ({**TICKET, "sparsity": 0.7}, r"no training of this study has sparsity 0\.7; it has 0\.0, 0\.5, 0\.9"),
        ({"start": "dense", "pruner": "oneshot"}, "together; with the others it has pruner none"),
        ({"starts": "rewind"}, "'starts' is no setting of a training; allowed: dataset"),
    ],
)
def test_a_choice_of_none_or_several_says_what_is_left(
    demo: RecordedStudy, choice: dict[str, object], said: str
) -> None:
    with pytest.raises(ChoiceError, match=said):
        demo.weights(**choice)


def test_missing_weights_are_told_in_words(
    demo: RecordedStudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(WeightsMissing, match="'best' are no weights of a training; allowed: trained, initial, rewind"):
        demo.weights(which="best", **TICKET)
    with pytest.raises(WeightsMissing, match="only dense networks have rewind weights"):
        demo.weights(which="rewind", **TICKET)
    monkeypatch.setenv("TICKETSCOPE_ARTIFACTS", str(tmp_path / "elsewhere"))
    settings.cache_clear()
    with pytest.raises(WeightsMissing, match=r"no trained weights of stage .* set TICKETSCOPE_ARTIFACTS"):
        demo.weights(**TICKET)


def test_a_stage_that_is_not_done_or_diverged_has_no_weights(home: Path) -> None:
    del home
    with serving(settings()):
        queued = ts.launch(tiny_study())
        drain_idle(settings())
    with pytest.raises(WeightsMissing, match=r"dense: lenet300 on digits, learning rate 0.1, seed 0 is queued"):
        queued.weights(start="dense")


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoStudyHere, match=r"has no study\.toml; give a folder that ticketscope.run"):
        ts.open(tmp_path)


def test_a_faulty_study_is_refused_before_anything_is_made(home: Path) -> None:
    for make in (lambda: ts.launch("no-such.toml"), lambda: ts.run('name = "x"\ndatasets = []', home / "out")):
        with pytest.raises(StudyError):
            make()
    assert not home.exists()


def test_an_idle_notebook_keeps_nothing_from_being_recorded(machine: Machine) -> None:
    first = ts.launch(tiny_study(name="First"))
    # Before a recorder runs, a launched study is not known yet, and waiting for it is no error.
    assert "study" in repr(first.wait(seconds=0))
    machine.recorder()
    machine.wait_until(first.study_id, "queued")
    script = f"import ticketscope as ts; study = ts.study({first.study_id!r}); print(len(study.accuracy()), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{script}; input()"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as notebook:
        assert notebook.stdout is not None
        assert notebook.stdout.readline() == "0\n"
        # The objects of the notebook are alive, and the recorder writes.
        second = ts.launch(tiny_study(name="Second"))
        machine.wait_until(second.study_id, "queued", seconds=20.0)
        assert notebook.poll() is None
        notebook.communicate("\n")
    assert ts.study("second").progress().done == 0


def test_the_notebook_is_that_of_its_source_and_its_cells_run(
    demo: RecordedStudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = nbformat.read(notebook.TARGET, as_version=4)
    assert [(cell.cell_type, cell.source) for cell in written.cells] == list(notebook.CELLS), "run: make notebook"
    code = [cell for cell in written.cells if cell.cell_type == notebook.CODE]
    assert all(cell.execution_count for cell in code)
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    text = notebook.TARGET.read_text(encoding="utf-8")
    assert len(text) < 300_000
    for secret in (str(ROOT), "/tmp/", "/home/", "/root/", demo.study_id):
        assert secret not in text
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in code:
        exec(compile(cell.source, "cell", "exec"), names)
    assert (tmp_path / "dense" / "accuracy.parquet").exists()


def test_without_a_terminal_a_bar_is_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", StringIO())
    with bars.shown() as say:
        for done in range(11):
            say("trainings", done, 10)
    assert sys.stderr.getvalue() == "trainings, 0 %\ntrainings, 100 %\n"
