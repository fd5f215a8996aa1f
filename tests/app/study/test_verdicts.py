import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.charts.chart import Subject
from app.charts.forest import claims_forests, forest
from app.components import verdict_tables
from app.state.queries import accuracy, pooled_overlaps
from data import shared_links
from data.database.database import Database
from data.queries.evidence import from_frames
from engine.claims import CLAIMS, OUTCOMES, Thresholds, Verdict, evaluate
from engine.study.plan import plan
from engine.study.spec import Study, parse_study
from tests.app.charts.test_accuracy import valid
from tests.app.dashboard import open_page, rerun, tables, texts
from tests.app.made_study import record

PAGE = "views/study.py"
STUDY = "made-study-0001"
SUBJECT = Subject(STUDY, "Made up", "digits", "lenet300")


@pytest.fixture
def wide(study: Study) -> Study:
    """A study with runs for every claim."""
    changes = {"pruners": ["iterative", "oneshot", "admm"], "sparsities": [0.5, 0.7], "seeds": [0, 1, 2, 3]}
    return parse_study({**study.model_dump(), **changes})


def opened(**query: str) -> AppTest:
    app = open_page(PAGE, study=STUDY, **query)
    app.session_state["tab"] = "Verdicts"
    return rerun(app)


def test_every_claim_has_a_card_with_its_verdict_and_numbers(database: Database, wide: Study) -> None:
    record(database, wide)
    text = texts(opened())
    assert all(f"**{claim}**" in text or f"- {claim}: " in text for claim in CLAIMS)
    assert "95 % interval" in text
    assert "n = 4" in text


def test_the_tab_names_weight_decay_and_epochs(database: Database, wide: Study) -> None:
    record(database, wide)
    text = texts(opened()).replace("\\", "")
    assert "T = 4 epochs" in text
    assert "weight decay 0.01" in text


def test_other_thresholds_change_verdicts_and_are_mentioned_until_reset(database: Database, wide: Study) -> None:
    record(database, wide)
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


def test_without_results_the_tab_says_that_no_training_has_finished(database: Database, study: Study) -> None:
    record(database, study, lambda index, stage: "queued")
    assert "No training has finished yet" in opened().info[0].value


def test_claims_without_runs_are_listed_with_the_missing_runs(database: Database, study: Study) -> None:
    dense = parse_study({**study.model_dump(), "pruners": [], "sparsities": [], "starts": []})
    record(database, dense)
    text = texts(opened())
    assert "**A3**" in text
    assert "Runs are missing for" in text


def test_one_verdict_of_an_outcome_is_counted_in_the_singular() -> None:
    counted = verdict_tables.counted
    assert [counted(outcome, 1) for outcome in OUTCOMES] == ["1 holds", "1 fails", "1 undecided", "1 lacks runs"]
    assert [counted(outcome, 2) for outcome in OUTCOMES] == ["2 hold", "2 fail", "2 undecided", "2 lack runs"]


def test_the_low_and_high_of_many_rates_can_be_chosen(database: Database, study: Study) -> None:
    record(database, parse_study({**study.model_dump(), "learning_rates": [0.003, 0.01, 0.03, 0.1]}))
    app = opened()
    assert app.selectbox(key="verdict_low").value == 0.01
    app.selectbox(key="verdict_low").select(0.003)
    rerun(app)
    assert "0.003" in texts(app)
    # The high rate cannot be chosen at or below the low one.
    app.selectbox(key="verdict_low").select(0.03)
    assert rerun(app).selectbox(key="verdict_high").options == ["0.1"]


def test_the_numbers_contain_every_comparison_and_the_forest_draws_them(database: Database, wide: Study) -> None:
    record(database, wide)
    verdicts = evaluate(*from_frames(accuracy(STUDY), pooled_overlaps(STUDY)))
    numbers = verdict_tables.numbers(verdicts)
    assert set(numbers["claim"]) == set(CLAIMS)
    assert len(numbers) > 3 * len(verdicts)
    for verdict in verdicts:
        parts = verdict_tables.comparisons(verdict)
        chart = forest(verdict, parts)
        assert valid(chart.spec)["height"] > 0
        assert len(chart.numbers()) == sum(part.effect is not None and part.unit == parts[0].unit for part in parts)


def test_every_threshold_is_explained() -> None:
    table = verdict_tables.thresholds_table(Thresholds())
    assert table["what it is"].str.len().min() > 20


def test_claims_without_runs_are_in_the_order_of_the_claims(database: Database, study: Study) -> None:
    record(database, parse_study({**study.model_dump(), "starts": ["winning_ticket"]}))
    (listed,) = [item.value for item in opened().markdown if item.value.startswith("- ")]
    claims = [line[2:].partition(":")[0] for line in listed.splitlines()]
    assert claims == sorted(claims, key=list(CLAIMS).index)
    assert "no run of random reinit" in listed


def test_numbers_of_one_learning_rate_are_shown_even_for_a_claim_about_two(database: Database, study: Study) -> None:
    record(database, parse_study({**study.model_dump(), "learning_rates": [0.1]}))
    app = opened()
    assert "**B1**" in texts(app)
    app.session_state["verdict-B1-why"] = True
    rerun(app)
    assert any("learning rate 0.1 · p = 0.2" in set(table.get("comparison", ())) for table in tables(app))


def test_one_click_shows_the_rules_with_their_margins_and_every_comparison(database: Database, wide: Study) -> None:
    record(database, wide)
    app = opened()
    before = len(app.get("vega_lite_chart"))
    app.session_state["verdict-B1-why"] = True
    rerun(app)
    (rules,) = [item.value.replace("\\", "") for item in app.markdown if item.value.startswith("- Well above p")]
    assert "is above 0 at every value of p, and its mean over them" in rules
    assert "above 0.1" in rules
    assert "95 % interval" in rules
    assert "within ±0.05" in rules
    assert len(app.get("vega_lite_chart")) == before + 1


def test_the_forest_draws_means_first_and_each_row_with_the_margins_of_its_rule(
    database: Database, wide: Study
) -> None:
    record(database, wide)
    verdicts = evaluate(*from_frames(accuracy(STUDY), pooled_overlaps(STUDY)), claims=["B1"])
    rows = verdict_tables.comparisons(verdicts[0])
    chart = valid(forest(verdicts[0], rows).spec)
    names = [row["name"] for data in chart["datasets"].values() for row in data if "effect" in row]
    assert names[0] == "learning rate 0.01 · mean over 5 values of p"
    margins = {(row["name"], row["margin"]) for data in chart["datasets"].values() for row in data if "margin" in row}
    # At the low rate, each p is compared with 0 and only their mean with the margin.
    assert ("learning rate 0.01 · p = 0.2", 0.0) in margins
    assert ("learning rate 0.01 · mean over 5 values of p", 0.1) in margins
    assert {margin for name, margin in margins if name == "learning rate 0.1 · p = 0.2"} == {-0.05, 0.05}


def test_a_reach_is_in_percent_of_the_weights(database: Database, wide: Study) -> None:
    record(database, wide)
    (verdict,) = evaluate(*from_frames(accuracy(STUDY), pooled_overlaps(STUDY)), claims=["E3"])
    assert verdict.unit == "sparsity"
    assert "% of the weights" in verdict_tables.effect_words(verdict)


def test_an_undecided_verdict_names_the_seeds_that_would_decide_it_and_queues_them(
    database: Database, wide: Study
) -> None:
    record(database, parse_study({**wide.model_dump(), "seeds": [0, 1]}))
    app = opened()
    assert "Needs 1 more seed, 3 in all" in texts(app)
    button = next(button for button in app.button if button.label.startswith("Add 1 seed"))
    button.click()
    rerun(app)
    text = texts(app).replace("\\", "")
    assert "Small study (3 seeds)" in text
    assert "All that is trained already is reused" in text
    assert any(f"ticketscope verdicts {STUDY} --add-seeds 1" in code.value for code in app.code)
    assert app.button(key="seeds_yes").label == "Launch it"
    trainings = next(metric.value for metric in app.metric if metric.label == "Trainings")
    planned = plan(wide, {"digits": "any"})
    assert int(trainings) == 3 * len(planned.stages) // len(wide.seeds)


def test_a_viewer_reads_what_would_decide_a_verdict_but_queues_nothing(database: Database, wide: Study) -> None:
    record(database, parse_study({**wide.model_dump(), "seeds": [0, 1]}))
    token = shared_links.create(database, [STUDY])[1]
    app = open_page("views/shared.py", share=token)
    app.session_state["tab"] = "Verdicts"
    rerun(app)
    assert "more seed" in texts(app)
    assert not [button for button in app.button if button.label.startswith("Add")]


def test_controls_are_listed_separately_and_not_counted(database: Database, study: Study) -> None:
    record(database, parse_study({**study.model_dump(), "pruners": ["iterative", "random"]}))
    claims, heading, controls = texts(opened()).partition("Controls and other pruners")
    assert heading
    assert "random" not in claims.replace("random reinit", "")
    assert "random" in controls


def test_the_page_explains_intervals_and_counts_its_verdicts(database: Database, wide: Study) -> None:
    record(database, wide)
    text = texts(opened()).replace("\\", "")
    assert "Intervals are over seeds, on one fixed test set" in text
    assert "a point of accuracy is" in text
    assert "verdicts on this page" in text
    assert "chosen on the test images" in text
    assert "Claim A4 looks at all sparsities and needs one" in text


def test_other_learning_rates_have_lines_and_many_of_them_are_summed_up(database: Database, study: Study) -> None:
    three = study.model_copy(update={"learning_rates": (0.01, 0.03, 0.1), "pruners": ("oneshot",)})
    record(database, three)
    app = opened()
    text = texts(app).replace("\\", "")
    assert "**A1** at other rates] · one-shot magnitude · learning rate 0.03 · ticket beats reinit: " in text
    assert verdict_tables.AT_OTHER_RATES in text
    many = three.model_copy(update={"learning_rates": tuple(number / 100 for number in range(1, 13)), "name": "Many"})
    record(database, many, study_id="many-rates")
    app = open_page(PAGE, study="many-rates")
    app.session_state["tab"] = "Verdicts"
    app.session_state["verdict-A1-why"] = True
    text = texts(rerun(app)).replace("\\", "")
    assert "ticket beats reinit: at 10 learning rates, " in text
    assert "C1** fine-tune stays close to dense · one-shot magnitude: at 12 learning rates, " in text
    by_rate = next(table for table in tables(app) if {"comparison", "learning rate"} <= set(table.columns))
    assert len(by_rate) == 10
    # The plot of all claims has only the rates that say most.
    names = pd.concat([chart.numbers() for chart in claims_forests(SUBJECT, judged("many-rates"))])["name"]
    assert names.str.startswith("C1").sum() <= 4


def judged(study_id: str) -> list[Verdict]:
    rows = accuracy(study_id), pooled_overlaps(study_id)
    return list(evaluate(*from_frames(*rows, rows[0].iloc[:0])))
