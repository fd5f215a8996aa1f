"""Loss and accuracy of single trainings, epoch by epoch."""

from typing import Literal

import altair as alt
import pandas as pd

from app.charts_accuracy import Layers
from app.palette import Look

HEIGHT = 250

Curve = Literal["loss", "accuracy"]

_TITLES: dict[Curve, str] = {"loss": "cross-entropy loss (nats)", "accuracy": "accuracy (%)"}
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
    scale = alt.Scale(domain=list(looks), range=[look.colour for look in looks.values()])
    base = alt.Chart(frame).encode(
        x=alt.X(
            "epoch:Q",
            title="epoch",
            scale=alt.Scale(domain=[0, max(total, 1)], nice=False),
            axis=alt.Axis(format="d", tickMinStep=1, tickCount=6, grid=False),
        ),
        y=alt.Y("value:Q", title=_TITLES[curve], scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
        color=alt.Color("name:N", scale=scale, legend=None),
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
