import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from data import shared_links
from data.database import backup
from data.database.database import Database
from data.queries.studies import UnknownStudy
from data.shared_links import Anonymous, ShareError, create, find, revoke, touch
from tests.data.made_results import STUDY_ID, Stream, made_plan


@pytest.fixture
def filled(database: Database) -> Database:
    database.record([Stream().launched(made_plan())])
    return database


def test_a_token_opens_the_study_of_its_link(filled: Database) -> None:
    share, token = create(filled, [STUDY_ID], note="  for   Ada ")
    link = find(filled, token)
    assert link is not None
    assert (link.share_id, link.study_ids, link.state, link.note) == (share.share_id, (STUDY_ID,), None, "for Ada")


@pytest.mark.parametrize("given", [None, Anonymous(), Anonymous("  Submission   12 ", with_notes=True)])
def test_a_link_stays_as_anonymous_as_it_was_made(filled: Database, given: Anonymous | None) -> None:
    share, token = create(filled, [STUDY_ID], anonymous=given)
    expected = given and Anonymous(" ".join(given.title.split()), given.with_notes)
    link = find(filled, token)
    assert link is not None
    assert link.anonymous == share.anonymous == expected
    [row] = shared_links.shares(filled).to_dict("records")
    assert row["anonymous"] == (given is not None)
    assert (row["title"], row["with_notes"]) == (expected.title if expected else "", expected != Anonymous())


@pytest.mark.parametrize("title", ["x" * 81, "two\u202enames"])
def test_a_title_that_cannot_be_shown_is_refused(filled: Database, title: str) -> None:
    with pytest.raises(ShareError, match="title"):
        create(filled, [STUDY_ID], anonymous=Anonymous(title))
    assert shared_links.shares(filled).empty


def test_links_of_older_versions_are_not_anonymous(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute((Path(__file__).parent / "database" / "schemas" / "006.sql").read_text())
        connection.execute(
            "INSERT INTO shares VALUES ('a', ?, ['s'], NULL, 'for Ada', now()::TIMESTAMP, NULL, NULL, NULL)",
            [hashlib.sha256(b"token").hexdigest()],
        )
    link = find(Database(path), "token")
    assert link is not None
    assert (link.note, link.anonymous) == ("for Ada", None)


def test_a_backup_restores_links_as_they_were(filled: Database, tmp_path: Path) -> None:
    _, token = create(filled, [STUDY_ID], anonymous=Anonymous("Submission 12"))
    backup.backup(filled, tmp_path / "copy.duckdb")
    with filled.writing() as connection:
        connection.execute("DELETE FROM shares")
    backup.restore(filled, tmp_path / "copy.duckdb")
    link = find(filled, token)
    assert link is not None
    assert link.anonymous == Anonymous("Submission 12")


def test_only_a_hash_of_the_token_is_saved(filled: Database) -> None:
    _, token = create(filled, [STUDY_ID])
    with filled.reading() as connection:
        rows = str(connection.execute("FROM shares").fetchall())
    assert token not in rows
    assert token.encode() not in filled.path.read_bytes()
    assert len(token) >= 43


@pytest.mark.parametrize("wrong", ["", "x", "' OR 1=1 --", "%", "\x00", "é" * 50])
def test_any_other_token_opens_nothing(filled: Database, wrong: str) -> None:
    _, token = create(filled, [STUDY_ID])
    assert find(filled, wrong) is None
    assert find(filled, token + "A") is None
    assert find(filled, token[:-1]) is None
    assert find(filled, token.swapcase()) is None


def test_a_revoked_link_opens_nothing_ever_again(filled: Database) -> None:
    share, token = create(filled, [STUDY_ID])
    other, other_token = create(filled, [STUDY_ID])
    revoke(filled, share.share_id)
    first = shared_links.shares(filled).set_index("share_id").loc[share.share_id, "revoked_at"]
    revoke(filled, share.share_id)
    assert find(filled, token) is None
    assert find(filled, other_token) is not None
    listed = shared_links.shares(filled).set_index("share_id")
    assert listed.loc[share.share_id, "revoked_at"] == first
    assert dict(listed["works"]) == {share.share_id: False, other.share_id: True}


def test_a_link_ends_at_its_time(filled: Database) -> None:
    _, token = create(filled, [STUDY_ID], expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert find(filled, token) is not None
    with filled.writing() as connection:
        connection.execute("UPDATE shares SET expires_at = ?", [datetime.now(UTC).replace(tzinfo=None)])
    assert find(filled, token) is None
    assert not shared_links.shares(filled)["works"].any()


def test_the_last_use_of_a_link_is_saved_at_most_once_in_a_while(filled: Database) -> None:
    _, token = create(filled, [STUDY_ID])
    first = find(filled, token)
    assert first is not None
    assert first.last_used_at is None
    assert touch(filled, first)
    again = find(filled, token)
    assert again is not None
    assert again.last_used_at is not None
    assert not touch(filled, again)


def test_of_many_viewers_at_once_one_saves_the_use(filled: Database) -> None:
    _, token = create(filled, [STUDY_ID])
    first = find(filled, token)
    assert first is not None
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: touch(filled, first), range(40))).count(True) == 1


def test_links_can_be_listed_by_study_and_show_a_view(filled: Database) -> None:
    create(filled, [STUDY_ID])
    create(filled, [STUDY_ID], state="s=0123abcd&m=sweep")
    assert len(shared_links.shares(filled, STUDY_ID)) == 2
    assert shared_links.shares(filled, "other").empty
    assert list(shared_links.shares(filled)["state"].notna()) == [True, False]
    assert "token_hash" not in shared_links.shares(filled).columns


def test_invalid_links_are_refused(filled: Database) -> None:
    with pytest.raises(UnknownStudy, match="status"):
        create(filled, ["other"])
    with pytest.raises(ShareError, match="needs a study"):
        create(filled, [])
    with pytest.raises(ShareError, match="at most 200"):
        create(filled, [STUDY_ID], note="x" * 201)
    with pytest.raises(ShareError, match="to come"):
        create(filled, [STUDY_ID], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(ShareError, match="--list"):
        revoke(filled, "nothing")
    assert shared_links.shares(filled).empty


@pytest.mark.parametrize("form", ["{token}", "https://tickets.example/lab/shared?share={token}", " {share_id} "])
def test_a_link_is_revoked_by_its_id_its_address_or_its_token(filled: Database, form: str) -> None:
    share, token = create(filled, [STUDY_ID])
    assert revoke(filled, form.format(token=token, share_id=share.share_id)) == share.share_id
    assert find(filled, token) is None


@pytest.mark.parametrize("form", ["x{token}", "https://tickets.example/shared?share={token}x", "share={token}"])
def test_a_link_that_is_not_known_is_not_printed(filled: Database, form: str) -> None:
    _, token = create(filled, [STUDY_ID])
    with pytest.raises(ShareError) as error:
        revoke(filled, form.format(token=token))
    assert token not in str(error.value)
    assert find(filled, token) is not None
