"""The demo explains itself on its Overview, until its reader has closed the notes."""

from streamlit.testing.v1 import AppTest

from app.guide.tour import NOTES
from data.database.database import Database
from engine.study.spec import Study
from tasks.studies import catalog
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record

PAGE, ID = "views/study.py", "made-study-0001"


def notes(app: AppTest) -> int:
    text = texts(app)
    return sum(f"**{title.replace('R_p', '$R_p$')}**" in text for title in NOTES)


def test_the_demo_explains_itself_until_the_notes_are_closed(database: Database) -> None:
    demo = catalog.read("demo")
    # The name and the note make no other study of it.
    record(database, demo.model_copy(update={"name": "My first", "note": ""}))
    app = open_page(PAGE, study=ID)
    assert notes(app) == len(NOTES)
    app.button(key="tour_close").click()
    assert notes(rerun(app)) == 0
    # The browser remembers it.
    assert any("ticketscope_tour=closed" in html.proto.body for html in app.get("html"))
    assert notes(rerun(app)) == 0


def test_another_study_needs_no_notes(database: Database, study: Study) -> None:
    record(database, study)
    assert notes(open_page(PAGE, study=ID)) == 0
