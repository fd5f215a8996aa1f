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
from tests.app.dashboard import open_page, rerun
from tests.app.made_study import record

ID = "made-study-0001"


def test_the_export_menu_offers_every_file_and_makes_the_zip_on_request(database: Database, study: Study) -> None:
    record(database, study.model_copy(update={"pruners": (), "starts": (), "sparsities": (), "learning_rates": (0.1,)}))
    app = opened(open_page("views/study.py", study=ID), "study_export")
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels[:2] == ["Report (HTML)", "Study (TOML)"]
    assert len(labels) == 2 + len(tables.SCHEMAS)
    app.button(key="study_zip_make").click()
    rerun(app)
    assert any(button.proto.label.startswith("Save the zip (") for button in app.get("download_button"))


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
