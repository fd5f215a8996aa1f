"""The table of how far ADMM's masks moved from one-shot's, and the pages that show it."""

import pytest

from app.charts.points import LABEL
from app.components import support_table
from app.export import report
from data.database.database import Database
from data.queries import studies
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record

ID = "made-study-0001"


@pytest.fixture
def admm_study(study: Study) -> Study:
    changes = {"pruners": ("oneshot", "admm", "admm_constant"), "starts": ("finetune",), "sparsities": (0.5,)}
    return study.model_copy(update={**changes, "learning_rates": (0.1,), "seeds": (0, 1)})


def test_the_table_has_a_line_for_each_pruner_with_spread_units_and_n(database: Database, admm_study: Study) -> None:
    record(database, admm_study)
    table = support_table.table(studies.supports(database, ID))
    assert list(table["pruner"]) == ["ADMM", "ADMM, constant rho"]
    assert list(table["support moved (%)"]) == [12.0, 0.012]
    assert set(table["accuracy, ADMM (%)"]) == {90.5}
    assert set(table[f"accuracy, ADMM (%){LABEL}±"]) == {0.71}
    assert set(table["accuracy, one-shot (%)"]) == {80.0}
    assert set(table["last residual"]) == {0.003}
    assert set(table["n"]) == {2}


def test_what_older_results_lack_is_left_out(database: Database, admm_study: Study) -> None:
    record(database, admm_study)
    with database.writing() as connection:
        connection.execute("DELETE FROM supports")
    table = support_table.table(studies.supports(database, ID))
    for title in ("support moved (%)", "accuracy, ADMM (%)", "accuracy, one-shot (%)"):
        assert table[title].isna().all()
    assert set(table["last residual"]) == {0.003}


def test_page_and_report_show_the_table(database: Database, admm_study: Study) -> None:
    record(database, admm_study)
    app = open_page("views/study.py", study=ID)
    app.session_state["tab"] = "Progress"
    rerun(app)
    assert not app.error
    assert support_table.ABOUT in texts(app)
    page = report.report(database, ID)
    assert "support moved" in page
    assert "ADMM, constant rho" in page
    assert "10 rounds of 3 epochs, rho from automatic to automatic" in page
