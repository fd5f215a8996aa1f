import pandas as pd
import pytest

from app.charts.chart import Subject
from app.charts.palette import STARTS, series
from app.charts.progress import curves, draw_curves, draw_residuals, residuals, training_looks
from tests.app.charts.test_accuracy import valid

SUBJECT = Subject("made-study-0001", "Small study", "digits", "lenet300")
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
def test_training_and_test_curves_have_units_and_a_fixed_axis(curve: str, title: str) -> None:
    chart = valid(draw_curves(EPOCHS, series(["one"]), curve, 50))
    line = chart["layer"][0]["encoding"]
    assert line["y"]["title"] == title
    assert line["x"]["scale"]["domain"] == [0, 50]
    values = pd.DataFrame(next(iter(chart["datasets"].values())))
    assert sorted(values["part"].unique()) == ["test", "training"]
    assert len(values) == 4


def test_a_training_has_the_colour_and_dash_of_its_start() -> None:
    names = {"a": "reinit", "b": "dense", "c": "reinit", "d": None, "e": "finetune"}
    looks = training_looks(names)
    for name in ("a", "b", "e"):
        assert (looks[name].colour, looks[name].dash) == (STARTS[names[name]].colour, STARTS[names[name]].dash)
    assert looks["c"].dash == looks["a"].dash
    assert len({look.colour.lower() for look in looks.values()}) == 5
    assert {look.shape for look in looks.values()} == {"stroke"}
    assert looks["d"].colour not in {look.colour for look in STARTS.values()}
    epochs = pd.concat([EPOCHS.assign(name=name) for name in names])
    line = valid(draw_curves(epochs, looks, "loss", 50))["layer"][0]["encoding"]
    scale = dict(zip(line["color"]["scale"]["domain"], line["color"]["scale"]["range"], strict=True))
    assert scale["a"] == STARTS["reinit"].colour
    assert line["strokeDash"]["scale"]["range"][0] == list(STARTS["reinit"].dash)
    # Training and test images differ in strength alone.
    assert line["opacity"]["field"] == line["strokeWidth"]["field"] == "part"


def test_the_axes_are_drawn_without_epochs() -> None:
    chart = valid(draw_curves(EPOCHS.iloc[:0], {}, "loss", 50))
    assert chart["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 50]


def test_residuals_are_means_over_seeds_with_n_on_a_log_axis() -> None:
    rows = pd.DataFrame(
        {
            "pruner": ["admm"] * 4,
            "learning_rate": [0.1] * 4,
            "sparsity": [0.9] * 4,
            "seed": [0, 1, 0, 1],
            "round": [1, 1, 2, 2],
            "residual": [0.2, 0.4, 0.0, 0.0],
        }
    )
    chart = valid(draw_residuals(rows, [0.1]))
    assert chart["layer"][0]["encoding"]["y"]["scale"]["type"] == "log"
    (point,) = next(iter(chart["datasets"].values()))
    assert point["mean"] == pytest.approx(0.3)
    assert (point["n"], point["removed"], point["round"]) == (2, 90.0, 1)
    assert residuals(SUBJECT, rows, [0.1]).legend.note == ""


def test_residuals_of_two_pruners_are_never_averaged() -> None:
    rows = pd.DataFrame(
        {
            "pruner": ["admm_constant", "admm"],
            "learning_rate": [0.1] * 2,
            "sparsity": [0.9] * 2,
            "seed": [0, 0],
            "round": [1, 1],
            "residual": [0.2, 0.4],
        }
    )
    chart = valid(draw_residuals(rows, [0.1]))
    points = {point["pruner"]: point["mean"] for point in next(iter(chart["datasets"].values()))}
    assert points == {"ADMM": 0.4, "ADMM, constant rho": 0.2}
    assert residuals(SUBJECT, rows, [0.1]).legend.note == "ADMM: solid · ADMM, constant rho: dashed"


def test_saved_curves_name_their_trainings_and_explain_their_lines() -> None:
    looks = series(["one"])
    chart = curves("made-study-0001", "Digits", EPOCHS.assign(fingerprint="f"), looks, "loss", 2)
    assert chart.name == "made-study-0001-curves-loss"
    assert list(chart.numbers().columns) == ["training", "fingerprint", "epoch", "train_loss", "test_loss"]
    assert chart.legend.note == "test images strong, training images faint"
