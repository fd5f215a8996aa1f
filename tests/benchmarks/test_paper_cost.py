"""The benchmark of the paper's cost: equal work is counted once, and hours follow from speeds."""

import pytest

from benchmarks import paper_cost


def test_sharing_equal_work_reduces_the_epochs_of_the_paper() -> None:
    epochs = paper_cost.work()
    totals = [sum(by_network.values()) for by_network in epochs.values()]
    assert totals == sorted(totals)
    assert len(set(totals)) == 3
    speeds = dict.fromkeys(epochs["everywhere"], 3600.0)
    assert paper_cost.hours(epochs["everywhere"], speeds) == pytest.approx(totals[0])
    with pytest.raises(KeyError, match="vgg11"):
        paper_cost.hours({"vgg11": 1}, {})
