"""The static page of a link: what it shows, when it is made anew, and its end."""

from pathlib import Path

import pytest

from app.export.snapshot import MARK, PAGE, Snapshot, SnapshotError
from data import shared_links
from data.database.database import Database
from engine.study.spec import Study
from tests.app.made_study import record

ID = "made-study-0001"


@pytest.fixture
def token(database: Database, study: Study) -> str:
    record(database, study)
    return shared_links.create(database, [ID], anonymous=shared_links.Anonymous("Submission 12"))[1]


def test_the_page_is_what_the_link_shows_and_stays_until_the_study_changes(
    database: Database, token: str, tmp_path: Path
) -> None:
    page = tmp_path / "web" / PAGE
    snapshot = Snapshot(database, token, page.parent, every=30.0)
    assert snapshot.refresh() == "done"
    text = page.read_text()
    assert MARK in text
    assert "Submission 12" in text
    assert "Small study" not in text
    assert 'http-equiv="refresh"' not in text
    assert page.stat().st_mode & 0o777 == 0o644
    written = page.stat().st_mtime_ns
    assert snapshot.refresh() == "done"
    assert page.stat().st_mtime_ns == written
    with database.writing() as connection:
        connection.execute(
            "UPDATE states SET state = 'running', revision = '9' || revision "
            "WHERE fingerprint = (SELECT max(fingerprint) FROM states)"
        )
    assert snapshot.refresh() == "running"
    assert '<meta http-equiv="refresh" content="30">' in page.read_text()


def test_a_link_that_ended_shows_nothing_any_more(database: Database, token: str, tmp_path: Path) -> None:
    snapshot = Snapshot(database, token, tmp_path, every=30.0)
    snapshot.refresh()
    shared_links.revoke(database, token)
    with pytest.raises(SnapshotError, match="was revoked"):
        snapshot.refresh()
    assert "This link shows nothing" in (tmp_path / PAGE).read_text()
    assert "Submission" not in (tmp_path / PAGE).read_text()
    with pytest.raises(SnapshotError, match="unknown"):
        Snapshot(database, "made up", tmp_path / "other", every=30.0).refresh()
    assert not (tmp_path / "other").exists()


def test_pages_of_others_and_views_are_refused(database: Database, token: str, tmp_path: Path) -> None:
    (tmp_path / PAGE).write_text("my own page")
    with pytest.raises(SnapshotError, match="is no snapshot"):
        Snapshot(database, token, tmp_path, every=30.0).refresh()
    assert (tmp_path / PAGE).read_text() == "my own page"
    _, view = shared_links.create(database, [ID], state="s=made-study-0001")
    with pytest.raises(SnapshotError, match="share one study"):
        Snapshot(database, view, tmp_path / "other", every=30.0).refresh()
