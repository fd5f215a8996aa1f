import pytest
from streamlit.testing.v1 import AppTest

from data.database.database import Database
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record

ID = "made-study-0001"


def opened(database: Database, study: Study, tab: str) -> AppTest:
    record(database, study)
    app = open_page("views/study.py", study=ID)
    app.session_state["tab"] = tab
    return rerun(app)


@pytest.fixture
def sweep(study: Study) -> Study:
    return study.model_copy(update={"learning_rates": (0.01, 0.03, 0.1), "pruners": ("iterative", "oneshot", "admm")})


def test_two_rates_have_maps_side_by_side_and_more_rates_a_selector(
    database: Database, study: Study, sweep: Study
) -> None:
    app = opened(database, study, "Overlap")
    assert not [box for box in app.selectbox if box.key == "overlap_map_rate"]
    record(database, sweep, study_id="sweep")
    app = open_page("views/study.py", study="sweep")
    app.session_state["tab"] = "Overlap"
    app = rerun(app)
    assert app.selectbox("overlap_map_rate").options == ["0.01", "0.03", "0.1"]
    app.selectbox("overlap_map_rate").set_value(0.1)
    assert "**Learning rate 0.1**" in texts(rerun(app))


@pytest.mark.parametrize(("tab", "key"), [("Overlap", "overlap_pruner"), ("Accuracy", "accuracy_pruner")])
def test_many_panels_are_drawn_one_pruner_at_a_time(database: Database, sweep: Study, tab: str, key: str) -> None:
    app = opened(database, sweep, tab)
    assert app.selectbox(key).value == "iterative"
    before = texts(app).replace("\\", "")
    assert "earning rate 0.03 · iterative" in before
    assert "earning rate 0.03 · one-shot" not in before
    app.selectbox(key).set_value("oneshot")
    after = texts(rerun(app)).replace("\\", "")
    assert "earning rate 0.03 · one-shot" in after
    assert "earning rate 0.03 · iterative" not in after
