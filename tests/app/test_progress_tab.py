import pytest

from app.tabs import progress
from data.store import Store
from engine.spec import Study
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record


def test_a_long_list_of_stages_is_cut_and_search_finds_the_others(
    store: Store, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = record(store, study)
    monkeypatch.setattr(progress, "MOST_STAGES", 5)
    app = open_page("views/study.py", study="made-study-0001")
    total = len(made.stages)
    assert f"{total} of {total} stages; the first 5 are listed, search for others" in texts(app)
    assert len(app.dataframe[-1].value) == 5
    last = app.dataframe[-1].value["Stage"]
    app.text_input("stages_search").set_value("rewind 90 one-shot")
    app = rerun(app)
    found = app.dataframe[-1].value["Stage"]
    assert len(found) == 5
    assert found.str.startswith("rewind").all()
    assert set(found) != set(last)
