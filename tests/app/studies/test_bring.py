"""Bundles that an owner imports on the page *Studies*, and where pages say so."""

import io
from pathlib import Path

import pytest
from redis import Redis

from app.export.report import report
from app.studies import bring
from data import shared_links
from data.bundles.writer import in_memory
from data.database.database import Database
from data.queries import results, studies
from data.settings import settings
from data.viewers import ViewersDatabase
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun, tables, texts
from tests.app.made_study import record

ID = "made-study-0001"


# A study of six trainings.
SMALL = {"seeds": (0,), "pruners": ("oneshot",), "sparsities": (0.5,), "starts": ("winning_ticket", "reinit")}


class Upload(io.BytesIO):
    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name = name


@pytest.fixture
def content(tmp_path: Path, study: Study) -> bytes:
    """A bundle of the small study with one seed, from another home."""
    database = Database(tmp_path / "there" / "ticketscope.duckdb")
    database.ensure()
    record(database, study.model_copy(update=SMALL))
    return in_memory(database, ID, "Lab *A*")


def test_the_page_offers_an_import_also_before_there_is_a_study() -> None:
    app = open_page("views/studies.py")
    app.button(key="import").click()
    app = rerun(app)
    assert "Another installation wrote it" in texts(app)
    assert app.button(key="import_yes").disabled


def test_what_was_imported_is_said_and_shown_on_pages_and_in_the_report(redis: Redis, content: bytes) -> None:
    del redis
    message = bring.take([Upload("study.zip", content), Upload("faulty.zip", content[:-1])], together=True)
    assert message.lines == (f"Imported Small study from Lab *A* as {ID}: 6 of 6 stages done.",)
    [problem] = message.problems
    assert "faulty.zip cannot be imported: it does not end as a bundle does" in problem.replace("\\", "")
    assert message.studies == {ID: "Small study"}
    app = open_page("views/study.py", study=ID, tab="progress")
    assert "Imported: 6 stages from Lab *A*, trained on cpu (laptop), on " in texts(app).replace("\\", "")
    stages = next(table for table in tables(app) if "Imported from" in table)
    assert set(stages["Imported from"]) == {"Lab *A*"}
    assert set(stages["Worker"]) == {"worker-1", "worker-2"}
    database = Database(settings().database)
    assert "6 stages from Lab *A*, trained on cpu (laptop), on " in report(database, ID)


def test_reviewers_do_not_learn_whence_a_result_came_and_no_viewer_reads_its_host(redis: Redis, content: bytes) -> None:
    del redis
    bring.take([Upload("study.zip", content)], together=False)
    database = Database(settings().database)
    for anonymous, lab in ((None, "Lab *A*"), (shared_links.Anonymous(), "")):
        share, _ = shared_links.create(database, [ID], anonymous=anonymous)
        seen = ViewersDatabase(database, share)
        rows = studies.stages(seen, ID)
        assert set(rows["lab"]) == {lab}
        assert rows["imported_at"].isna().all() == (anonymous is not None)
        assert rows[["worker", "host"]].isna().all(axis=None)
        assert list(rows["finished_at"]) == list(studies.stages(database, ID)["finished_at"])
        phrases = results.origins_in_words(results.origins(seen, ID))
        assert [phrase.partition(", on 20")[0] for phrase in phrases] == [
            "6 stages from Lab *A*, trained on cpu"
        ] * bool(lab)
