"""The Export menu of a study's page."""

import pytest

from app.auth import access
from app.export import menu
from app.export.menu import LinkEnded
from data import parquet as tables
from data import shared_links
from data.database.database import Database
from engine.study.spec import Study
from tests.app.components.test_save_menu import opened
from tests.app.dashboard import open_page
from tests.app.made_study import record

ID = "made-study-0001"


def test_the_export_menu_offers_every_file_at_one_click_and_makes_none_before(
    database: Database, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(database, study.model_copy(update={"pruners": (), "starts": (), "sparsities": (), "learning_rates": (0.1,)}))
    made: list[str] = []
    for name in ("report", "everything", "in_memory", "tables_from_database"):
        monkeypatch.setattr(menu, name, lambda *_, name=name: made.append(name))
    app = opened(open_page("views/study.py", study=ID), "study_export")
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels[:4] == ["Report (HTML)", "Everything (zip)", "Bundle (zip)", "Study (TOML)"]
    assert len(labels) == 4 + len(tables.SCHEMAS)
    assert made == []


def test_a_viewer_whose_link_ended_gets_no_file(database: Database, study: Study, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    record(database, study)
    share, _ = shared_links.create(database, [ID])
    monkeypatch.setattr(access, "is_owner", lambda: False)
    monkeypatch.setattr(access, "link", lambda: share)
    make = menu._while_allowed(lambda: b"all of it")
    assert make() == b"all of it"
    shared_links.revoke(database, share.share_id)
    with pytest.raises(LinkEnded, match="the link has ended"):
        make()
