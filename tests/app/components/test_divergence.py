"""Trainings that diverged: every page says which, and none of them is in a mean or an n."""

import json
import zipfile
from io import BytesIO

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.export.report import report
from app.export.zip import everything
from app.paper import runs
from app.state.live import fraction
from app.study import progress
from app.study.stages_table import matching, stage_table
from data.database.database import Database
from data.database.events import Event
from data.queries import studies as queries
from engine.paper import studies
from engine.study.results import StageResult
from engine.study.spec import Study, parse_study
from tasks.studies.time_left import Places, seconds_left
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import measured, record

ID = "made-study-0001"
RUNS = "LeNet-300 on Digits, learning rate 0.1, seed"


def diverging(database: Database, study: Study, seeds: tuple[int, ...], rates: tuple[float, ...] = (0.1,)) -> None:
    """Record a finished study whose trainings at some rates and seeds diverged in their third epoch."""
    planned = record(database, study, lambda _, stage: "waiting")
    events = []
    for fingerprint, stage in planned.stages.items():
        result = measured(fingerprint, stage)
        if stage.seed in seeds and stage.learning_rate in rates:
            at = 3 if stage.kind == "pretrain" else 0
            result = StageResult(fingerprint, result.epochs[: max(0, at - 1)], 0.0, 0.1, "cpu", diverged=at)
        done = {"fingerprint": fingerprint, "state": "done", "attempt": 1, "at": "2026-11-20T13:00:00+00:00"}
        body = json.loads(json.dumps(result.to_json(), allow_nan=False))
        events += [("result", {"fingerprint": fingerprint, "result": body}), ("stage", done)]
    database.record([Event(f"1800000000000-{number}", kind, body) for number, (kind, body) in enumerate(events)])


def unescaped(text: str) -> str:
    """Return Markdown without its escapes."""
    return text.replace("\\", "")


def opened(tab: str, **state: object) -> AppTest:
    app = open_page("views/study.py", study=ID)
    app.session_state["tab"] = tab
    for name, value in state.items():
        app.session_state[name] = value
    return rerun(app)


@pytest.mark.parametrize("tab", ["Accuracy", "Overlap", "Verdicts"])
def test_a_tab_says_in_one_caption_which_trainings_diverged(database: Database, study: Study, tab: str) -> None:
    diverging(database, study, seeds=(1,))
    captions = [unescaped(item.value) for item in opened(tab).caption if "diverged" in item.value]
    (caption,) = captions
    assert caption.startswith("1 training diverged and ")
    assert f"made from it could not begin: {RUNS} 1" in caption


@pytest.mark.parametrize("tab", ["Accuracy", "Overlap", "Verdicts"])
def test_a_tab_does_not_mention_divergence_where_none_diverged(database: Database, study: Study, tab: str) -> None:
    record(database, study)
    assert "diverged" not in texts(opened(tab))


@pytest.mark.parametrize("tab", ["Accuracy", "Overlap", "Verdicts"])
def test_a_study_that_diverged_completely_announces_no_results(database: Database, study: Study, tab: str) -> None:
    diverging(database, study, seeds=study.seeds, rates=study.learning_rates)
    app = opened(tab)
    assert "No training ended with a finite loss" in app.info[0].value
    assert "yet" not in app.info[0].value


@pytest.mark.parametrize("tab", ["Progress", "Accuracy", "Overlap", "Verdicts"])
def test_every_tab_opens_when_a_learning_rate_diverged_completely(database: Database, study: Study, tab: str) -> None:
    diverging(database, study, seeds=study.seeds)
    text = unescaped(texts(opened(tab)))
    if tab != "Progress":
        assert f"{RUNS}s 0–2." in text
    assert "yet" not in text


def test_verdicts_count_only_seeds_that_did_not_diverge(database: Database, study: Study) -> None:
    diverging(database, study, seeds=(1,))
    text = unescaped(texts(opened("Verdicts", **{"verdict-A2-why": True})))
    assert "n = 2" in text
    assert "needs 3 seeds; 1 of 3 seeds has no finite value" in text


def test_the_table_of_stages_names_divergence_in_place_of_an_accuracy(database: Database, study: Study) -> None:
    diverging(database, study, seeds=(1,))
    app = opened("Progress")
    assert app.metric[0].value == app.metric[1].value == "0"
    table = app.dataframe[-1].value
    lost = table[(table["Learning rate"] == 0.1) & (table["Seed"] == 1)]
    dense = lost[lost["Stage"] == "dense"].iloc[0]
    assert (dense["Outcome"], dense["Epoch"], dense["State"]) == ("diverged in epoch 3", 2, "done")
    others = lost[lost["Stage"] != "dense"]
    assert len(others)
    assert set(others["Outcome"]) == {"not trained: what it is made from diverged"}
    assert lost["Test accuracy (%)"].isna().all()
    rest = table.drop(lost.index)
    assert set(rest["Outcome"]) == {""}
    assert rest["Test accuracy (%)"].notna().all()


def test_search_finds_diverged_stages_and_time_left_uses_the_others(database: Database, study: Study) -> None:
    diverging(database, study, seeds=(1,))
    rows = queries.stages(database, ID)
    table = stage_table(matching(rows, {}, "diverged in epoch"), {})
    assert list(table["Outcome"]) == ["diverged in epoch 3"]
    assert fraction(rows, {}) == 1.0
    rows.loc[rows.index[-1], ["state", "epoch"]] = "queued", 0
    assert seconds_left(rows, {}, Places(1)) == pytest.approx(4 * 0.02)
    assert "Outcome" not in stage_table(rows[rows["learning_rate"] != 0.1], {})


def test_curves_draw_the_finite_epochs(database: Database, study: Study) -> None:
    diverging(database, study, seeds=(1,))
    dense = queries.stages(database, ID).query("kind == 'pretrain' and learning_rate == 0.1 and seed == 1")
    app = opened("Progress", curves_which=progress.CHOSEN, curves_chosen=list(dense["fingerprint"]))
    assert not app.exception


def test_the_report_and_the_zip_name_diverged_trainings(database: Database, study: Study) -> None:
    diverging(database, study, seeds=(1,))
    assert "LeNet-300 on Digits, learning rate 0.1, seed 1. Means, bands and n are without them." in report(
        database, ID
    )
    with zipfile.ZipFile(BytesIO(everything(database, ID))) as archive:
        rows = pd.read_csv(BytesIO(archive.read(f"{ID}/tables/accuracy.csv")), dtype=str)
    lost = rows[(rows["learning_rate"] == "0.1") & (rows["seed"] == "1")]
    assert lost["test_accuracy"].isna().all()
    assert set(lost["diverged_epoch"]) == {"3", "0"}
    assert set(rows.drop(lost.index)["best_epoch"]) <= {"1", "2", "3", "4"}


def test_the_report_of_a_study_that_diverged_completely_says_so(database: Database, study: Study) -> None:
    diverging(database, study, seeds=study.seeds, rates=study.learning_rates)
    assert "No training ended with a finite loss" in report(database, ID)


def test_the_compare_page_names_diverged_trainings(database: Database, study: Study) -> None:
    diverging(database, study, seeds=(1,))
    app = open_page("views/compare.py", s=ID)
    assert f"{RUNS} 1" in unescaped(texts(app))


def test_a_figure_of_the_paper_names_diverged_trainings(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "identity", lambda name, home: f"identity of {name}")
    figure = parse_study(studies.study("fig7", "small").model_dump(exclude_none=True))
    diverging(database, figure, seeds=figure.seeds[:1])
    app = open_page("views/figure.py", figure="fig7", scale="small")
    app.session_state["figure-fig7-E1-why"] = True
    text = unescaped(texts(rerun(app)))
    assert "learning rate 0.1, seed 0. Means, bands and n are without them." in text
    assert "has no finite value" in text
