"""The difference of two studies is paired by seed where both have the same seeds, and Welch's elsewhere."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from app.answer.difference import PAIRED, SAME, WELCH, differences, domain, draw
from tests.app.charts.test_accuracy import valid


def runs(study: str, sparsity: float, values: dict[int, float], fingerprint: str = "") -> list[dict[str, object]]:
    """Return rows of accuracies of one point by seed; fingerprint: begins those of its trainings."""
    place = {"dataset": "digits", "network": "lenet300", "learning_rate": 0.1, "pruner": "oneshot", "start": "reinit"}
    return [
        {
            **place,
            "sparsity": sparsity,
            "seed": seed,
            "accuracy": value,
            "fingerprint": f"{fingerprint or study}-{seed}",
        }
        for seed, value in values.items()
    ]


ONE, OTHER = {0: 90.0, 1: 92.0, 2: 95.0}, {0: 89.5, 1: 91.0, 2: 93.0}


def compared() -> pd.DataFrame:
    """The differences at four sparsities: paired, unpaired, of the same runs and of one seed."""
    more = {3: 88.0, 4: 91.0, 5: 90.5, 6: 94.0}
    one = [*runs("a", 0.5, ONE), *runs("a", 0.6, ONE), *runs("a", 0.7, ONE, "same"), *runs("a", 0.8, {0: 90.0})]
    other = [*runs("b", 0.5, OTHER), *runs("b", 0.6, more), *runs("b", 0.7, ONE, "same"), *runs("b", 0.8, {0: 91.0})]
    return differences(pd.DataFrame(one), pd.DataFrame([*other, *runs("b", 0.9, ONE)]), "accuracy").set_index(
        "sparsity"
    )


def test_equal_seeds_are_paired() -> None:
    row = compared().loc[0.5]
    pairs = np.array(list(ONE.values())) - np.array(list(OTHER.values()))
    expected = stats.ttest_1samp(pairs, 0).confidence_interval(0.95)
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((pairs.mean(), *expected))
    assert (row["n"], row["how"]) == ("3", PAIRED)


def test_other_seeds_are_compared_by_welch() -> None:
    row = compared().loc[0.6]
    expected = stats.ttest_ind(list(ONE.values()), [88.0, 91.0, 90.5, 94.0], equal_var=False).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert (row["n"], row["how"]) == ("3 and 4", WELCH)


def test_the_same_runs_differ_by_nothing_and_one_seed_has_no_interval() -> None:
    rows = compared()
    assert (rows.loc[0.7, "difference"], rows.loc[0.7, "how"]) == (0.0, SAME)
    assert rows.loc[0.8, "difference"] == -1.0
    assert rows.loc[[0.7, 0.8], ["low", "high"]].isna().all(axis=None)
    # Only points of both studies are compared.
    assert list(rows.index) == [0.5, 0.6, 0.7, 0.8]


def test_the_chart_holds_every_interval() -> None:
    rows = compared().reset_index()
    low, high = domain(rows)
    assert low <= rows["low"].min() < rows["high"].max() <= high
    assert not math.isnan(low)
    valid(draw(rows, "difference (points)", True, (low, high)))
