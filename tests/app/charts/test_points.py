import pandas as pd
import pytest

from app.charts.points import LABEL, departs, describe, digits, in_words, mean_columns, summarise

ROWS = pd.DataFrame({"start": ["a"] * 4 + ["b"], "value": [1.0, 2.0, 3.0, 4.0, 7.0]})


@pytest.mark.parametrize(
    ("spread", "half"),
    [("sd", 1.2909944), ("se", 0.6454972), ("ci", 0.6454972 * 3.1824463)],
)
def test_bands_follow_the_textbook_formulas(spread: str, half: float) -> None:
    row = summarise(ROWS, "value", ["start"], spread).set_index("start").loc["a"]
    assert row["mean"] == 2.5
    assert row["n"] == 4
    assert row["high"] - row["mean"] == pytest.approx(half)
    assert row["mean"] - row["low"] == pytest.approx(half)


def test_the_range_is_from_smallest_to_largest() -> None:
    row = summarise(ROWS, "value", ["start"], "range").set_index("start").loc["a"]
    assert (row["low"], row["high"]) == (1.0, 4.0)


@pytest.mark.parametrize("spread", ["sd", "se", "ci", "range"])
def test_one_seed_has_a_mean_but_no_spread(spread: str) -> None:
    row = summarise(ROWS, "value", ["start"], spread).set_index("start").loc["b"]
    assert row["mean"] == 7
    assert row["n"] == 1
    assert row[["sd", "low", "high"]].isna().all()


def test_groups_without_a_pruner_are_summarised_too() -> None:
    rows = pd.DataFrame({"pruner": [None, "oneshot"], "value": [1.0, 2.0]})
    assert len(summarise(rows, "value", ["pruner"], "sd")) == 2


def test_a_description_contains_spread_n_and_unit() -> None:
    assert describe(96.5, 96.0, 97.0, 3, "sd", unit=" %") == "96.50 ± 0.50 % (n = 3)"
    assert describe(96.5, 95.9, 97.0, 3, "range") == "96.50, 95.90 to 97.00 (n = 3)"
    assert describe(96.5, float("nan"), float("nan"), 1, "ci") == "96.50 (n = 1)"


@pytest.mark.parametrize(
    ("dataset", "network", "requested", "measured", "far"),
    [
        ("digits", "lenet300", 0.9, 0.9, False),
        # Rounding to whole weights in three layers shifts the sparsity by up to 1.5 of 50,200 weights.
        ("digits", "lenet300", 0.9, 0.90002, False),
        ("digits", "lenet300", 0.9, 0.9001, True),
        ("cifar10", "resnet20", 0.386, 0.38601, False),
        ("cifar10", "resnet20", 0.386, 0.3865, True),
        ("folder:/gone", "resnet20", 0.386, 0.3862, False),
        ("cifar10", "a removed network", 0.386, 0.4, True),
    ],
)
def test_a_measured_sparsity_departs_only_beyond_rounding(dataset, network, requested, measured, far) -> None:
    assert departs(dataset, network, requested, measured) == far


def test_a_mean_and_its_deviation_have_the_same_decimals() -> None:
    means = pd.DataFrame({"mean": [83.7, 83.0], "sd": [0.42, float("nan")]})
    table = pd.DataFrame({"learning rate": [0.001, 0.1], **mean_columns(means, "dense", 2), "n": [3, 1]})
    assert digits(table) == {"learning rate": None, "dense": 2, f"dense{LABEL}±": 2, "n": 0}
    assert in_words(table).to_numpy().tolist() == [["0.001", "83.70", "0.42", "3"], ["0.1", "83.00", "", "1"]]
