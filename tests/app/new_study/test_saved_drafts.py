"""Drafts are saved below the home, bounded in number and size, and found by nobody without their id."""

import os
from pathlib import Path

import pytest

from app.new_study import saved_drafts
from app.new_study.draft import draft_of
from engine.study.spec import Study


def test_a_draft_comes_back_as_it_was_and_no_other_account_reads_it(tmp_path: Path, study: Study) -> None:
    draft, draft_id = draft_of(study), saved_drafts.new_id()
    saved_drafts.save(tmp_path, draft_id, draft)
    assert saved_drafts.load(tmp_path, draft_id) == draft
    [file] = (tmp_path / "drafts").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    saved_drafts.save(tmp_path, draft_id, {**draft, "name": "Later"})
    assert saved_drafts.load(tmp_path, draft_id) == {**draft, "name": "Later"}


@pytest.mark.parametrize("draft_id", ["", "x" * 22, "../secret" + "x" * 13, "é" * 22, "x" * 23])
def test_an_unknown_id_has_no_draft_and_is_no_path(tmp_path: Path, draft_id: str) -> None:
    (tmp_path / "secretxxxxxxxxxxxxx.json").write_text("{}")
    assert saved_drafts.load(tmp_path, draft_id) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_damaged_draft_is_none(tmp_path: Path, content: bytes) -> None:
    draft_id = saved_drafts.new_id()
    saved_drafts.save(tmp_path, draft_id, {})
    (tmp_path / "drafts" / f"{draft_id}.json").write_bytes(content)
    assert saved_drafts.load(tmp_path, draft_id) is None


def test_only_the_latest_drafts_stay_and_none_is_enormous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_drafts, "MOST", 3)
    ids = [saved_drafts.new_id() for _ in range(5)]
    for age, draft_id in enumerate(ids):
        saved_drafts.save(tmp_path, draft_id, {"name": draft_id})
        os.utime(tmp_path / "drafts" / f"{draft_id}.json", (age, age))
    assert [draft_id for draft_id in ids if saved_drafts.load(tmp_path, draft_id)] == ids[2:]
    saved_drafts.save(tmp_path, ids[-1], {"name": "x" * saved_drafts.LONGEST})
    assert saved_drafts.load(tmp_path, ids[-1]) == {"name": ids[-1]}


def test_a_home_that_cannot_be_written_harms_no_page(tmp_path: Path) -> None:
    (tmp_path / "drafts").write_text("a file is in the way")
    draft_id = saved_drafts.new_id()
    saved_drafts.save(tmp_path, draft_id, {})
    assert saved_drafts.load(tmp_path, draft_id) is None
    assert (tmp_path / "drafts").read_text() == "a file is in the way"
