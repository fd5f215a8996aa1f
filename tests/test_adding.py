"""Adding to Ticketscope takes one entry in one table, which every page, report and export then shows."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.charts import palette
from app.charts.chart import Chart
from app.components.stage_names import stage_names
from app.export.charts import CHARTS, Place
from app.export.report import FOLDER, report
from app.export.zip import everything
from app.words import plain
from data import parquet
from data.database.database import Database
from data.queries import studies
from data.settings import settings
from engine.claims import CLAIMS, Claim, Verdict
from engine.claims.across import across
from engine.claims.cases import Case, absent, by_pruner, starts
from engine.claims.questions import Question
from engine.registry import NETWORKS, PRUNERS, SCORES, STARTS, Network, Pruner, Score, Start
from engine.study.spec import Study, parse_study
from tasks.studies.planning import plan_study
from tasks.worker.local import run
from tests.app import made_study
from tests.app.conftest import database as database
from tests.app.conftest import empty_caches as empty_caches
from tests.app.conftest import study as study
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record
from tests.data.made_results import Stream, whole_study
from tests.machine import tiny_study

STUDY = "added-0001"
# The id under which `record` records a study.
MADE = "made-study-0001"
CODE = """
from torch import nn


def halved(stage, dataset, weights):
    return {name: tensor / 2 for name, tensor in weights.load(stage.root, "initial").items()}


def inverse(layer, weights, seed):
    return 1 / (1 + weights.detach().abs())


def moved(layer, weights, seed, movement, initial):
    return movement + 0 * initial


def perceptron(channels, image_size, classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * image_size**2, 16), nn.ReLU(inplace=True), nn.Linear(16, classes)
    )
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with a user's own start, score and network, importable here and in other processes."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "added_by_user.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "added_by_user"


def train(database: Database, **changes: object) -> Study:
    """Train a tiny study in this process and record it as the recorder would."""
    values: dict[str, object] = {"pruners": ["oneshot"], "sparsities": [0.41], "overlap_p": [0.2]}
    plan = plan_study(tiny_study(**{**values, **changes}), settings().home)
    results = run(plan, settings().artifacts, settings(), ["cpu"], lambda *_: None)
    assert results.keys() == plan.stages.keys()
    database.record(whole_study(Stream(), plan, STUDY, results))
    return plan.study


def study_tab(name: str, study_id: str = STUDY) -> AppTest:
    app = open_page("views/study.py", study=study_id)
    app.session_state["tab"] = name
    return rerun(app)


def charts(app: AppTest) -> str:
    """Return the specifications of all charts of a page, and the texts of their rows."""
    elements = app.get("vega_lite_chart")
    assert elements
    specs = [json.dumps(json.loads(chart.proto.spec), ensure_ascii=False) for chart in elements]
    return "\n".join([*specs, *(chart.proto.SerializeToString().decode("utf-8", "ignore") for chart in elements)])


def everything_on(app: AppTest) -> str:
    """Return the texts, charts and choices of a page."""
    choices = (*app.pills, *app.multiselect, *app.selectbox)
    return "\n".join([texts(app), charts(app), *(str(choice.options) for choice in choices)])


def assert_shown_everywhere(database: Database, entry: Start | Pruner | Network, name: str, field: str) -> None:
    """Assert that pages, report, zip and tables of the trained study show an added entry, and that the form offers it.

    field: the field of a study that lists the entry's name.
    """
    for tab in ("Progress", "Overlap", "Verdicts"):
        study_tab(tab)
    accuracy = everything_on(study_tab("Accuracy"))
    assert entry.title in accuracy
    if isinstance(entry, Start):
        assert entry.symbol in accuracy
    assert entry.title in everything_on(open_page("views/compare.py", s=STUDY))
    form = open_page("views/new_study.py")
    choice = form.multiselect if field == "networks" else form.pills
    assert entry.title in choice(key=f"field-{field}").options
    glossary = texts(open_page("views/glossary.py"))
    assert f"**{plain(entry.title)}**" in glossary
    assert plain(entry.about) in glossary
    assert entry.title in report(database, STUDY)
    with zipfile.ZipFile(BytesIO(everything(database, STUDY))) as archive:
        (file,) = (file for file in archive.namelist() if file.endswith("study.toml"))
        assert f'"{name}"' in archive.read(file).decode()
    tables = parquet.tables_from_database(database, STUDY)
    assert name in tables["accuracy"][field.removesuffix("s")].to_pylist()


def test_a_start_takes_one_function_and_one_row(
    database: Database, added: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Start("halved ticket", f"{added}:halved", "½θ₀⊙m", "Half of the initial weights, under the mask.", "a test")
    monkeypatch.setitem(STARTS, "halved", start)
    train(database, starts=["winning_ticket", "halved", "finetune"])
    assert_shown_everywhere(database, start, "halved", "starts")


def test_a_pruner_takes_one_function_and_two_rows(
    database: Database, added: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruner = Pruner("largest first", "Removes the largest weights.", score="inverse")
    monkeypatch.setitem(SCORES, "inverse", Score(f"{added}:inverse"))
    monkeypatch.setitem(PRUNERS, "inverse", pruner)
    train(database, pruners=["oneshot", "inverse"])
    assert_shown_everywhere(database, pruner, "inverse", "pruners")


def test_a_pruner_by_movement_shows_the_pretraining_that_it_adds(
    database: Database, added: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORES, "moved", Score(f"{added}:moved", needs=("movement", "initial")))
    monkeypatch.setitem(PRUNERS, "moved", Pruner("movement", "Keeps what moves away from 0.", score="moved"))
    train(database, pruners=["oneshot", "moved"])
    names = set(stage_names(studies.stages(database, STUDY)).values())
    assert {name for name in names if name.startswith("dense")} == {
        "dense · learning rate 0.1 · seed 0",
        "dense, with movement · learning rate 0.1 · seed 0",
    }
    assert "winning ticket · movement 41 % · learning rate 0.1 · seed 0" in names
    masks = parquet.tables_from_database(database, STUDY)["accuracy"].to_pandas().groupby("pruner")["mask"].unique()
    assert masks["moved"].tolist() != masks["oneshot"].tolist()


def test_a_network_takes_one_function_and_one_row(
    database: Database, added: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network("Perceptron-16", f"{added}:perceptron", "One hidden layer of sixteen units.")
    monkeypatch.setitem(NETWORKS, "perceptron", network)
    train(database, networks=["lenet300", "perceptron"])
    assert_shown_everywhere(database, network, "perceptron", "networks")


def rewind_matches(claim: str, case: Case) -> Iterator[Verdict]:
    for pruner, scope in by_pruner(case):
        for rate in case.rates:
            compared = starts(case, pruner, rate, "rewind", "dense")
            question = Question("rewind minus dense", "matches", case.margin)
            yield across(claim, case, scope, question, compared, absent(case, pruner, rate, "rewind", "dense"))


def test_a_claim_takes_one_entry(database: Database, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Rewinding stays close to or above dense at the same learning rate."
    monkeypatch.setitem(CLAIMS, "Z1", Claim("Z1", "in few words", text, "a test", "dense and rewind", rewind_matches))
    made_study.record(database, study, study_id=STUDY)
    page = study_tab("Verdicts", STUDY)
    assert "**Z1** in few words" in texts(page)
    assert text in report(database, STUDY)
    assert "Z1" in parquet.tables_from_database(database, STUDY)["claims"]["id"].to_pylist()


def lacking(table: str, entries: Mapping[str, Any], needed: Mapping[str, str]) -> Iterator[str]:
    for name, entry in entries.items():
        for field, what in needed.items():
            if not getattr(entry, field):
                yield f"{table}[{name!r}] has no {field}; write {what}."


TITLE, ABOUT = "its name as the literature writes it", "one sentence that explains it, for the Glossary and the form"


@pytest.mark.parametrize(
    ("table", "entries", "needed"),
    [
        ("NETWORKS", NETWORKS, {"title": TITLE, "about": ABOUT}),
        ("PRUNERS", PRUNERS, {"title": TITLE, "about": ABOUT}),
        (
            "STARTS",
            STARTS,
            {
                "title": TITLE,
                "symbol": "the paper's symbol, such as θ₀⊙m",
                "about": ABOUT,
                "origin": "where it comes from, such as a section of the paper",
            },
        ),
        (
            "CLAIMS",
            CLAIMS,
            {
                "text": "what it says in one sentence",
                "where": "the figures and sections that make it",
                "needs": "the runs that it needs",
            },
        ),
    ],
    ids=["networks", "pruners", "starts", "claims"],
)
def test_every_entry_is_described(table: str, entries: Mapping[str, Any], needed: Mapping[str, str]) -> None:
    faults = "\n".join(lacking(table, entries, needed))
    assert not faults, f"\n{faults}"


@pytest.mark.parametrize("table", [NETWORKS, PRUNERS, STARTS], ids=["networks", "pruners", "starts"])
def test_no_two_entries_share_a_title(table: Mapping[str, Any]) -> None:
    titles = [entry.title for entry in table.values()]
    for title in titles:
        assert titles.count(title) == 1, f"{title!r} is the title of several entries; charts tell lines apart by it."


def test_scores_and_starts_that_pruners_name_are_in_their_tables() -> None:
    for name, pruner in PRUNERS.items():
        assert pruner.score in SCORES, f"PRUNERS[{name!r}] ranks by {pruner.score!r}, which is not in SCORES; add it."
        assert pruner.resets_to in STARTS, f"PRUNERS[{name!r}] resets to {pruner.resets_to!r}, which is not in STARTS."


def test_added_starts_have_distinct_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(6):
        monkeypatch.setitem(STARTS, f"added-{index}", Start(f"added {index}", "nowhere:start"))
    looks = list(palette.STARTS.values())
    assert len({(look.colour, look.shape, look.dash) for look in looks}) == len(looks) == len(STARTS) + 1
    assert looks == list(palette.STARTS.values())
    assert all(look.name in palette.legend(looks) for look in looks)
    # Added starts do not change the looks of the present ones.
    assert palette.STARTS["winning_ticket"].colour == "#0072B2"


def losses(place: Place) -> Iterator[Chart]:
    """Yield the chart that a user adds: the test losses of all trainings."""
    subject, rows = place.subject, place.results.accuracy[["seed", "test_loss"]]
    encoding = {"x": {"field": "test_loss", "type": "quantitative"}}
    spec = {"data": {"values": rows.to_dict("records")}, "mark": "point", "encoding": encoding}
    title = "Losses of all trainings"
    yield Chart(subject.file_name("losses"), spec, title, f"{title}.", lambda: rows, (title,), subject.about())


def test_an_added_chart_is_in_the_report_and_the_zip(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    study = parse_study(
        {
            "name": "Small study",
            "datasets": ["digits"],
            "networks": ["lenet300"],
            "pruners": [],
            "starts": [],
            "sparsities": [],
            "seeds": [0, 1],
            "recipe": {"epochs": 2},
        }
    )
    database = Database(settings().database)
    database.ensure()
    record(database, study)
    monkeypatch.setitem(CHARTS, "losses", losses)
    assert '"field":"test_loss"' in report(database, MADE)
    name = f"{MADE}/charts/{MADE}-losses-digits-lenet300"
    with zipfile.ZipFile(BytesIO(everything(database, MADE))) as archive:
        assert {f"{name}.svg", f"{name}.png"} <= set(archive.namelist())
        numbers = pd.read_csv(archive.open(f"{name}.csv"))
    assert list(numbers.columns) == ["seed", "test_loss"]
    assert len(numbers) == 2 * len(study.learning_rates)


def test_the_report_has_a_section_for_every_chart() -> None:
    template = (FOLDER / "report.html").read_text()
    lacking = [name for name in CHARTS if f"place.charts.{name}" not in template]
    assert not lacking, f"report.html has no section for the charts {lacking} of app.export.charts.CHARTS"
