"""The menu that saves one chart."""

from streamlit.testing.v1 import AppTest

from app.components.save_menu import KINDS
from data.database.database import Database
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun
from tests.app.made_study import record

ID = "made-study-0001"


def opened(app: AppTest, key: str) -> AppTest:
    app.session_state[key] = True
    return rerun(app)


def test_opening_the_menu_of_a_chart_lists_its_files_and_makes_none(
    database: Database, study: Study, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    record(database, study)
    pictures: list[object] = []
    monkeypatch.setitem(KINDS, "png", (lambda chart: pictures.append(chart) or b"", "image/png", "Picture (PNG)"))
    app = open_page("views/study.py", study=ID)
    app.session_state["tab"] = "Accuracy"
    rerun(app)
    assert not [button for button in app.get("download_button") if "accuracy-panel" in button.proto.id]
    opened(app, "accuracy-panel-0-save")
    labels = [button.proto.label for button in app.get("download_button") if "accuracy-panel-0" in button.proto.id]
    assert labels == [label for _, _, label in KINDS.values()]
    assert not pictures
