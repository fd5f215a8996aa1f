"""Answers say what the numbers say: the gap with its interval and n, and how much of the initial weights is left."""

from dataclasses import replace

import pandas as pd
import pytest
from scipy.stats import t

from app.answer.answers import Answer, Mean, answers, first_place, summed_up, table, telling, usual
from data.database.database import Database
from data.queries import points
from data.queries.selection import OneStudy
from engine.study.spec import Study
from tests.app.made_study import record

ANSWER = Answer(0.01, 0.9, 0.2, Mean(9.42, 3.38, 15.46, 3), Mean(0.887, 0.88, 0.894, 3))


@pytest.fixture
def frames(database: Database, study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The accuracies and overlaps of a finished study."""
    record(database, study, study_id="answered")
    chosen = OneStudy("answered")
    return points.accuracy(database, chosen), points.pooled_overlaps(database, chosen)


def test_each_rate_has_the_mean_gap_of_its_seeds_and_its_overlap(
    frames: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    accuracy, pooled = frames
    place = first_place(accuracy)
    assert place is not None
    pruner, sparsity = place
    found = answers(accuracy, pooled, pruner, sparsity, 0.2)
    assert [answer.learning_rate for answer in found] == sorted(accuracy["learning_rate"].unique())
    for answer in found:
        at = accuracy[accuracy["learning_rate"] == answer.learning_rate]
        at = at[(at["pruner"] == pruner) & (at["sparsity"] == sparsity)].set_index("seed")
        gap = at[at["start"] == "winning_ticket"]["test_accuracy"] - at[at["start"] == "reinit"]["test_accuracy"]
        assert answer.gap is not None
        assert answer.gap.n == len(gap) > 1
        assert answer.gap.value == pytest.approx(gap.mean())
        half = float(t.ppf(0.975, len(gap) - 1)) * gap.std() / len(gap) ** 0.5
        assert (answer.gap.low, answer.gap.high) == pytest.approx((gap.mean() - half, gap.mean() + half))
        ratios = pooled[(pooled["pair"] == "initial_pretrained") & (pooled["p"] == 0.2)]
        assert answer.retained is not None
        assert answer.retained.value == pytest.approx(
            ratios[ratios["learning_rate"] == answer.learning_rate]["ratio"].mean()
        )


def test_a_rate_without_a_pair_of_runs_says_so(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    accuracy, pooled = frames
    pruner, sparsity = first_place(accuracy) or ("", 0.0)
    rate = accuracy["learning_rate"].max()
    lacking = accuracy[(accuracy["learning_rate"] != rate) | (accuracy["start"] != "reinit")]
    *_, last = answers(lacking, pooled, pruner, sparsity, 0.2)
    assert last.gap is None
    assert "winning ticket and random reinit are not both trained at" in last.sentence
    assert "of the largest 20 % of the initial weights" in last.sentence


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (Mean(9.42, 3.38, 15.46, 3), "the winning ticket beats random reinit by 9.4 points (95 % interval 3.4 to 15.5"),
        (Mean(-2.0, -3.0, -1.0, 5), "the winning ticket is worse than random reinit by 2.0 points (95 % interval −3.0"),
        (Mean(0.3, -1.0, 1.6, 4), "does not clearly differ from random reinit: +0.3 points (95 % interval −1.0 to 1.6"),
        (Mean(9.42, None, None, 1), "the winning ticket is 9.4 points (n = 1, so without an interval) above random"),
        (Mean(-0.5, None, None, 1), "the winning ticket is 0.5 points (n = 1, so without an interval) below random"),
    ],
)
def test_the_verb_follows_the_interval(gap: Mean, words: str) -> None:
    sentence = replace(ANSWER, gap=gap).sentence
    assert words in sentence
    assert sentence.startswith("At learning rate 0.01, ")
    assert "at 90 % sparsity" in sentence
    assert sentence.endswith("where chance gives 0.20.")


def test_answers_are_at_the_sparsity_nearest_to_80_percent() -> None:
    assert usual([0.386, 0.623, 0.803, 0.858]) == 0.803
    assert usual([0.5, 0.9]) == 0.9
    assert usual([0.7, 0.9]) == 0.7


def at_rates(*gaps: tuple[float, float]) -> list[Answer]:
    """Return answers at increasing learning rates; gaps: the ends of each interval."""
    return [
        replace(ANSWER, learning_rate=number / 100, gap=Mean((low + high) / 2, low, high, 3))
        for number, (low, high) in enumerate(gaps, start=1)
    ]


def test_many_rates_that_say_the_same_share_a_sentence() -> None:
    found = at_rates(*[(1.0, 3.0)] * 5, (-1.0, 1.5), *[(-4.0, -2.0), (-5.0, -2.0)])
    summaries = summed_up(found)
    assert [len(summary.answers) for summary in summaries] == [5, 1, 2]
    assert summaries[0].sentence == (
        "At 5 learning rates, 0.01 to 0.05, the winning ticket beats random reinit by 2.0 points (each by its own 95 % "
        "interval, n = 3) at 90 % sparsity, and 0.89 of the largest 20 % of the initial weights are among the largest "
        "after training, where chance gives 0.20."
    )
    assert summaries[1].sentence == found[5].sentence
    assert "worse than random reinit by 3.0 to 3.5 points" in summaries[2].sentence
    assert [summary.sentence for summary in summed_up(found[:6])] == [answer.sentence for answer in found[:6]]


def test_rates_that_say_the_same_in_turns_are_named_by_their_ends() -> None:
    summaries = summed_up(at_rates(*[(1.0, 3.0), (-1.0, 1.0)] * 6))
    assert [summary.lead for summary in summaries] == [
        "At 6 learning rates, between 0.01 and 0.11",
        "At 6 learning rates, between 0.02 and 0.12",
    ]
    assert len(table(at_rates((1.0, 3.0), (2.0, 4.0)))) == 2


def test_the_telling_rates_are_the_ends_the_largest_gap_and_the_best_dense() -> None:
    rows = [
        {"learning_rate": rate, "start": start, "test_accuracy": accuracy}
        for rate, dense, ticket, reinit in [
            (0.1, 92, 90, 90),
            (0.2, 95, 90, 89),
            (0.3, 93, 90, 80),
            (0.4, 91, 90, 85),
            (0.5, 90, 90, 90),
        ]
        for start, accuracy in [("dense", dense), ("winning_ticket", ticket), ("reinit", reinit)]
    ]
    assert telling(pd.DataFrame(rows)) == [0.1, 0.2, 0.3, 0.5]
    assert telling(pd.DataFrame(rows[:1])) == [0.1]
