"""Loss and accuracy of single trainings, epoch by epoch, and how ADMM converges."""

from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts.accuracy import Layers
from app.charts.marks import PERCENT, colour, removed
from app.charts.palette import Look
from app.charts.points import described, summarise
from engine.registry import PRUNERS

HEIGHT = 250

Curve = Literal["loss", "accuracy"]

_TITLES: dict[Curve, str] = {"loss": "cross-entropy loss (nats)", "accuracy": "accuracy (%)"}
# Of the pruners of a chart, in their order, and how a legend calls it.
_DASHES = ([1, 0], [4, 3], [1, 2])
_HOW = ("solid", "dashed", "dotted")
_DASH = {"training": [4, 3], "test": [1, 0]}


def curves(epochs: pd.DataFrame, looks: dict[str, Look], curve: Curve, total: int) -> Layers:
    """Return training and test curves of some trainings: test solid, training dashed.

    epochs: a row per training and epoch with name (a key of looks), epoch, train_loss, test_loss, train_accuracy and
    test_accuracy (percent); without rows the chart is its axes. total: the last epoch of the axis, fixed so that it
    does not move while trainings run.
    """
    columns = {f"train_{curve}": "training", f"test_{curve}": "test"}
    frame = epochs.melt(["name", "epoch"], list(columns), "part", "value")
    frame["part"] = frame["part"].map(columns)
    base = alt.Chart(frame).encode(
        x=alt.X(
            "epoch:Q",
            title="epoch",
            scale=alt.Scale(domain=[0, max(total, 1)], nice=False),
            axis=alt.Axis(format="d", tickMinStep=1, tickCount=6, grid=False),
        ),
        y=alt.Y("value:Q", title=_TITLES[curve], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
        color=colour(looks),
        tooltip=[
            alt.Tooltip("name:N", title="training"),
            alt.Tooltip("part:N", title="images"),
            alt.Tooltip("epoch:Q", title="epoch"),
            alt.Tooltip("value:Q", title=_TITLES[curve], format=".3f" if curve == "loss" else ".2f"),
        ],
    )
    dash = alt.StrokeDash("part:N", scale=alt.Scale(domain=list(_DASH), range=list(_DASH.values())), legend=None)
    lines = base.mark_line(strokeWidth=1.75).encode(strokeDash=dash)
    points = base.mark_point(size=30, filled=True, opacity=0).encode()
    return alt.layer(lines, points, height=HEIGHT)


def residuals(rows: pd.DataFrame, looks: dict[str, Look]) -> Layers:
    """Return ADMM's primal residual by round on a log axis, a line per learning rate and sparsity, mean over seeds.

    rows: `data.queries.studies.residuals` rows of one dataset and network; where they are of two pruners, lines of the
    second are dashed. looks: by "learning rate <rate>".
    """
    frame = summarise(rows, "residual", ["pruner", "learning_rate", "sparsity", "round"], "sd")
    # A logarithm has no place for a residual of exactly 0.
    frame = frame[frame["mean"] > 0]
    frame = frame.assign(
        name=[f"learning rate {words.number(rate)}" for rate in frame["learning_rate"]],
        removed=removed(frame["sparsity"]),
        pruner=frame["pruner"].map(words.pruner),
        told=described(frame, "sd", digits=4),
    )
    base = alt.Chart(frame[["name", "pruner", "removed", "round", "mean", "n", "told"]]).encode(
        x=alt.X("round:Q", title="round of ADMM", axis=alt.Axis(format="d", tickMinStep=1, tickCount=6, grid=False)),
        y=alt.Y(
            "mean:Q",
            title="residual |W − Z| / |W|, log scale",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(tickCount=4, format="~g"),
        ),
        color=colour(looks),
        detail=["pruner:N", "removed:N"],
        tooltip=[
            alt.Tooltip("name:N", title="training"),
            alt.Tooltip("pruner:N", title="pruner"),
            alt.Tooltip("removed:Q", title="sparsity (%)", format=PERCENT),
            alt.Tooltip("round:Q", title="round"),
            alt.Tooltip("told:N", title="residual, ± standard deviation"),
            alt.Tooltip("n:Q", title="seeds (n)"),
        ],
    )
    titles = _titles(rows)
    dash = alt.StrokeDash("pruner:N", scale=alt.Scale(domain=titles, range=_DASHES[: len(titles)]), legend=None)
    lines = base.mark_line(strokeWidth=1.75).encode(strokeDash=dash)
    return alt.layer(lines, base.mark_point(size=30, filled=True, opacity=1), height=HEIGHT)


def residuals_note(rows: pd.DataFrame) -> str:
    """Return which lines of `residuals` are dashed; empty where its rows are of one pruner."""
    titles = _titles(rows)
    return " · ".join(f"{title}: {how}" for title, how in zip(titles, _HOW, strict=False)) if len(titles) > 1 else ""


def _titles(rows: pd.DataFrame) -> list[str]:
    present = set(rows["pruner"])
    return [words.pruner(name) for name in PRUNERS if name in present]
