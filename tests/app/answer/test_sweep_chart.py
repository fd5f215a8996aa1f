import pandas as pd
import pytest

from app.answer import sweep_chart as charts
from app.charts.marks import rate_looks
from app.charts.palette import series
from app.compare.points import rest_looks
from tests.app.charts.test_accuracy import data, layers

RATES = [0.001, 0.01, 0.1]
RESTS = rest_looks({"lenet300 on digits": ""})


@pytest.fixture
def rows() -> pd.DataFrame:
    """Accuracies: tickets 2 points above reinits, at the last rate equal to them; one reinit is missing."""
    runs = []
    for rate in RATES:
        for seed in range(3):
            for start, advantage in (("winning_ticket", 2.0 if rate < 0.1 else 0.0), ("reinit", 0.0), ("dense", 5.0)):
                if (rate, seed, start) != (0.001, 2, "reinit"):
                    runs.append((start, rate, seed, 80.0 + seed + advantage))
    frame = pd.DataFrame(runs, columns=["start", "learning_rate", "seed", "accuracy"])
    fixed = {"rest": next(iter(RESTS)), "base": "", "recipe": "", "dataset": "digits", "network": "lenet300"}
    return frame.assign(**fixed, test_accuracy=frame["accuracy"])


def test_gaps_pair_seeds_and_leave_out_those_without_a_partner(rows: pd.DataFrame) -> None:
    gaps = charts.gaps(rows)
    assert len(gaps) == 8
    assert (0.001, 2) not in set(zip(gaps["learning_rate"], gaps["seed"], strict=True))
    assert gaps.groupby("learning_rate")["gap"].mean().tolist() == pytest.approx([2.0, 2.0, 0.0])
    # Accuracies differ between seeds by a point; gaps within a seed do not.
    assert gaps.groupby("learning_rate")["gap"].std().max() == pytest.approx(0.0)


def test_without_one_of_the_starts_there_is_no_gap(rows: pd.DataFrame) -> None:
    assert charts.gaps(rows[rows["start"] != "reinit"]).empty
    assert charts.gaps(rows.head(0)).empty


def test_the_three_panels_share_their_axis_of_rates(rows: pd.DataFrame) -> None:
    ratios = rows[rows["start"] == "dense"].assign(ratio=0.4)
    panels = [
        charts.accuracy(rows, RESTS, RATES, "test_accuracy", "sd"),
        charts.overlap(ratios, RESTS, RATES, 0.2, "sd"),
        charts.gap(charts.gaps(rows), RESTS, RATES),
    ]
    axes = [layers(panel, "point")[0]["encoding"]["x"] for panel in panels]
    assert len({str(axis["scale"]) for axis in axes}) == 1
    assert [axis["axis"]["labels"] for axis in axes] == [False, False, True]
    assert len({layers(panel, "point")[0]["encoding"]["y"]["axis"]["minExtent"] for panel in panels}) == 1
    assert set(data(panels[0], layers(panels[0], "point")[0])["name"]) == {"winning ticket", "random reinit", "dense"}
    gap = data(panels[2], layers(panels[2], "point")[0]).set_index("learning_rate")
    assert gap["n"].to_dict() == {0.001: 2, 0.01: 3, 0.1: 3}
    (zero,) = layers(panels[2], "rule")
    assert data(panels[2], zero)["mean"].tolist() == [0.0]
    (chance,) = layers(panels[1], "rule")
    assert data(panels[1], chance)["mean"].tolist() == [0.2]


def test_gap_against_overlap_has_a_point_for_each_pair(rows: pd.DataFrame) -> None:
    points = charts.gaps(rows).assign(ratio=0.5)
    points["name"] = [f"learning rate {rate:g}" for rate in points["learning_rate"]]
    chart = charts.gap_against_overlap(points, rate_looks(RATES), series(["lenet300"]), 0.2)
    (marks,) = layers(chart, "point")
    assert len(data(chart, marks)) == 8
    assert marks["encoding"]["shape"]["field"] == "name"
    rules = [data(chart, rule) for rule in layers(chart, "rule")]
    assert [rule.iloc[0, 0] for rule in rules] == [0.0, 0.2]
    two_networks = pd.concat([points, points.assign(network="vgg11")])
    chart = charts.gap_against_overlap(two_networks, rate_looks(RATES), series(["lenet300", "vgg11"]), 0.2)
    assert layers(chart, "point")[0]["encoding"]["shape"]["field"] == "network"
