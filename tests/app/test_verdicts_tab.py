import pytest
from streamlit.testing.v1 import AppTest

from app import charts_verdict, drawing, verdict_cards
from app.reading import accuracy, pooled_overlaps
from data.evidence import from_frames
from data.store import Store
from engine.claims import CLAIMS
from engine.spec import Study, parse_study
from engine.verdict import Thresholds, evaluate
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record

PAGE = "views/study.py"
STUDY = "made-study-0001"


@pytest.fixture
def wide(study: Study) -> Study:
    """A study whose runs bear on every claim."""
    changes = {"pruners": ["iterative", "oneshot", "admm"], "sparsities": [0.5, 0.7], "seeds": [0, 1, 2, 3]}
    return parse_study({**study.model_dump(), **changes})


def opened(**query: str) -> AppTest:
    app = open_page(PAGE, study=STUDY, **query)
    app.session_state["tab"] = "Verdicts"
    return rerun(app)


def test_every_claim_has_a_card_with_its_verdict_and_numbers(store: Store, wide: Study) -> None:
    record(store, wide)
    shown = texts(opened())
    assert all(f"**{claim}**" in shown for claim in CLAIMS)
    assert "interval" in shown
    assert "over 4 seeds" in shown


def test_weight_decay_and_epochs_stand_beside_the_verdicts(store: Store, wide: Study) -> None:
    record(store, wide)
    shown = texts(opened()).replace("\\", "")
    assert "T = 4 epochs" in shown
    assert "weight decay 0.01" in shown


def test_other_thresholds_change_verdicts_and_are_told_until_reset(store: Store, wide: Study) -> None:
    record(store, wide)
    app = opened()
    before = [item.value for item in app.markdown if "badge[" in item.value and "undecided" in item.value]
    app.number_input(key="threshold-min_seeds").set_value(9)
    rerun(app)
    assert "own thresholds" in texts(app)
    assert "check: holds]" not in texts(app)
    app.button(key="thresholds_reset").click()
    rerun(app)
    assert "own thresholds" not in texts(app)
    assert [item.value for item in app.markdown if "badge[" in item.value and "undecided" in item.value] == before


def test_with_nothing_trained_it_says_what_will_come(store: Store, study: Study) -> None:
    record(store, study, lambda index, stage: "queued")
    assert "No training has finished yet" in opened().info[0].value


def test_claims_without_runs_are_listed_with_what_is_missing(store: Store, study: Study) -> None:
    dense = parse_study({**study.model_dump(), "pruners": [], "sparsities": [], "starts": []})
    record(store, dense)
    shown = texts(opened())
    assert "**A3**" in shown
    assert "Runs are missing for" in shown


def test_a_study_of_many_rates_lets_the_reader_say_which_are_low_and_high(store: Store, study: Study) -> None:
    record(store, parse_study({**study.model_dump(), "learning_rates": [0.003, 0.01, 0.03, 0.1]}))
    app = opened()
    assert app.selectbox(key="verdict_low").value == 0.01
    app.selectbox(key="verdict_low").select(0.003)
    rerun(app)
    assert "0.003" in texts(app)


def test_the_numbers_hold_every_comparison_and_the_forest_draws_them(store: Store, wide: Study) -> None:
    record(store, wide)
    verdicts = evaluate(*from_frames(accuracy(STUDY), pooled_overlaps(STUDY)))
    numbers = verdict_cards.numbers(verdicts)
    assert set(numbers["claim"]) == set(CLAIMS)
    assert len(numbers) > 3 * len(verdicts)
    for verdict in verdicts:
        chart = charts_verdict.forest(verdict_cards.leaves(verdict), verdict.scope)
        chart.to_dict()
        assert drawing.spec(chart)["height"] > 0


def test_every_threshold_says_where_it_comes_from() -> None:
    table = verdict_cards.thresholds_table(Thresholds())
    assert table["what it is"].str.len().min() > 20
