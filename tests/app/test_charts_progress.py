import pandas as pd
import pytest

from app.charts_progress import curves
from app.palette import series

EPOCHS = pd.DataFrame(
    {
        "name": ["one", "one"],
        "epoch": [1, 2],
        "train_loss": [2.0, 1.0],
        "test_loss": [2.1, 1.2],
        "train_accuracy": [20.0, 60.0],
        "test_accuracy": [18.0, 50.0],
    }
)


@pytest.mark.parametrize(("curve", "title"), [("loss", "cross-entropy loss (nats)"), ("accuracy", "accuracy (%)")])
def test_training_and_test_curves_with_units_on_a_fixed_axis(curve: str, title: str) -> None:
    drawn = curves(EPOCHS, series(["one"]), curve, 50).to_dict()
    line = drawn["layer"][0]["encoding"]
    assert line["y"]["title"] == title
    assert line["x"]["scale"]["domain"] == [0, 50]
    values = pd.DataFrame(next(iter(drawn["datasets"].values())))
    assert sorted(values["part"].unique()) == ["test", "training"]
    assert len(values) == 4


def test_no_epochs_leave_the_axes() -> None:
    drawn = curves(EPOCHS.iloc[:0], {}, "loss", 50).to_dict()
    assert drawn["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 50]
