"""A link that ended stays ended, whatever database is put back."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data import shared_links
from data.database import backup as backups
from data.database import ended_links
from data.database.database import Database
from data.shared_links import create, find, revoke, stop_showing
from tests.data.made_results import STUDY_ID, Stream, made_plan

OTHER_ID = "other-study"


@pytest.fixture
def filled(database: Database) -> Database:
    stream = Stream()
    database.record([stream.launched(made_plan()), stream.launched(made_plan(), OTHER_ID)])
    return database


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.duckdb"


def bring_back(database: Database, copy: Path, how: str) -> Database:
    """Put a backup back as the command does, by hand, or after the database was lost."""
    if how == "by hand":
        shutil.copy(copy, database.path)
    else:
        if how == "lost":
            database.path.unlink()
        backups.restore(database, copy)
    return Database(database.path)


HOW = pytest.mark.parametrize("how", ["restored", "by hand", "lost"])


@HOW
def test_a_revoked_link_stays_revoked(filled: Database, copy: Path, how: str) -> None:
    revoked, token = create(filled, [STUDY_ID])
    kept, kept_token = create(filled, [STUDY_ID])
    backups.backup(filled, copy)
    revoke(filled, revoked.share_id)
    later, later_token = create(filled, [STUDY_ID])
    database = bring_back(filled, copy, how)
    assert find(database, token) is None
    assert find(database, kept_token) is not None
    assert find(database, later_token) is None
    listed = shared_links.shares(database).set_index("share_id")
    assert dict(listed["works"]) == {revoked.share_id: False, kept.share_id: True}
    assert later.share_id not in listed.index
    assert listed.loc[revoked.share_id, "revoked_at"] <= datetime.now(UTC)
    # It can be revoked again, and links that are made later are revoked like all others.
    assert revoke(database, token) == revoked.share_id
    revoke(database, kept.share_id)
    assert find(bring_back(database, copy, how), kept_token) is None


@HOW
def test_links_do_not_show_a_deleted_study_again(filled: Database, copy: Path, how: str) -> None:
    alone, alone_token = create(filled, [STUDY_ID])
    both, both_token = create(filled, [STUDY_ID, OTHER_ID])
    _, other_token = create(filled, [OTHER_ID])
    backups.backup(filled, copy)
    stop_showing(filled, STUDY_ID)
    database = bring_back(filled, copy, how)
    assert find(database, alone_token) is None
    link = find(database, both_token)
    assert link is not None
    assert link.study_ids == (OTHER_ID,)
    assert find(database, other_token) is not None
    assert not shared_links.shares(database, STUDY_ID)["works"].any()
    listed = shared_links.shares(database).set_index("share_id")
    assert (listed.loc[alone.share_id, "works"], listed.loc[both.share_id, "works"]) == (False, True)
    stop_showing(database, OTHER_ID)
    assert find(bring_back(database, copy, how), both_token) is None


def test_a_link_that_expired_stays_expired(filled: Database, copy: Path) -> None:
    _, token = create(filled, [STUDY_ID], expires_at=datetime.now(UTC) + timedelta(hours=1))
    with filled.writing() as connection:
        connection.execute("UPDATE shares SET expires_at = ?", [datetime.now(UTC).replace(tzinfo=None)])
    backups.backup(filled, copy)
    assert find(bring_back(filled, copy, "restored"), token) is None


def test_the_file_holds_no_token_and_is_this_accounts(filled: Database) -> None:
    share, token = create(filled, [STUDY_ID])
    revoke(filled, token)
    revoke(filled, share.share_id)
    file = filled.path.with_name(ended_links.NAME)
    assert file.stat().st_mode & 0o777 == 0o600
    assert token not in file.read_text()
    [ended] = ended_links.read(filled.path).values()
    first = file.read_text().split()[1]
    assert (ended.entirely, ended.at.isoformat()) == (True, first)


def test_a_line_that_is_damaged_costs_only_itself(filled: Database) -> None:
    _, token = create(filled, [STUDY_ID])
    revoke(filled, token)
    file = filled.path.with_name(ended_links.NAME)
    file.write_text(f"x y\n\n{'0' * 64}\n{file.read_text()}{'1' * 64} now")
    assert len(ended_links.read(filled.path)) == 1


def test_a_link_is_not_revoked_in_the_database_alone(filled: Database) -> None:
    share, token = create(filled, [STUDY_ID])
    # The file cannot be written.
    filled.path.with_name(ended_links.NAME).mkdir()
    with pytest.raises(OSError, match="directory"):
        revoke(filled, share.share_id)
    filled.path.with_name(ended_links.NAME).rmdir()
    assert find(filled, token) is not None
