"""Charts of loss and accuracy of single trainings by epoch, and of the convergence of ADMM."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import altair as alt
import pandas as pd

from app import words
from app.charts import vega
from app.charts.chart import Chart, Subject, file_name
from app.charts.marks import PERCENT, colour, dash, mean_tooltip, rate_looks, rate_name, removed
from app.charts.palette import STARTS, Look, series
from app.charts.picture import Legend
from app.charts.points import described, summarise
from app.charts.vega import Spec
from engine.registry import PRUNERS

HEIGHT = 250

Curve = Literal["loss", "accuracy"]

_TITLES: dict[Curve, str] = {"loss": "cross-entropy loss (nats)", "accuracy": "accuracy (%)"}
CURVES_NOTE = "test images strong, training images faint"
# The first pruner of a chart has the first of these dashes; the legend calls it by the first name, and so on.
_DASHES = ([1, 0], [4, 3], [1, 2])
_DASH_NAMES = ("solid", "dashed", "dotted")
# The opacity and width of a curve by the images that it is about; colour and dash are those of the training's start.
_OPACITY, _WIDTH = {"training": 0.45, "test": 1.0}, {"training": 1.25, "test": 1.9}
# Of several trainings from one start, the first has the colour of the start, and the next ones are mixed with so much
# white (above 0) or black.
_SHADES = (0.0, 0.4, -0.25, 0.6, 0.2, -0.12)


def strokes(looks: Mapping[str, Look]) -> dict[str, Look]:
    """Return looks without point shapes, for lines without points."""
    return {name: replace(look, shape="stroke") for name, look in looks.items()}


def curve_looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each curve of trainings that differ in something else than the start, by its name."""
    return strokes(series(names))


def training_looks(starts: Mapping[str, str | None]) -> dict[str, Look]:
    """Return the look of each training's curves by its name: colour and dash of its start, in shades of that colour.

    starts: the start of each training, or "dense", by its name; None for a training of ADMM, which has no start.
    """
    looks, seen = strokes(series(starts)), Counter[str | None]()
    for name, start in starts.items():
        if start is not None and start in STARTS:
            look, shade = STARTS[start], _SHADES[seen[start] % len(_SHADES)]
            looks[name] = replace(look, name=name, symbol=name, colour=_mixed(look.colour, shade), shape="stroke")
            seen[start] += 1
    return looks


def _mixed(colour: str, shade: float) -> str:
    """Return a colour mixed with a share of white, or of black if the share is negative."""
    if not shade:
        return colour
    target = 255 if shade > 0 else 0
    parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (target - part) * abs(shade)):02x}" for part in parts)


def curves(
    study_id: str, study: str, epochs: pd.DataFrame, looks: Mapping[str, Look], curve: Curve, total: int
) -> Chart:
    """Return the chart of some trainings' curves.

    study: what the study compares, in words. epochs: as in `draw_curves`, with the column fingerprint.
    """
    columns = ["name", "fingerprint", "epoch", f"train_{curve}", f"test_{curve}"]
    title = f"Training and test {curve} by epoch"
    return Chart(
        name=file_name(study_id, "curves", curve),
        spec=draw_curves(epochs, looks, curve, total),
        title=title,
        alt=f"{title}.",
        numbers=lambda: epochs[columns].rename(columns={"name": "training"}),
        about=study,
        legend=Legend(tuple(looks.values()), note=CURVES_NOTE),
    )


def draw_curves(epochs: pd.DataFrame, looks: Mapping[str, Look], curve: Curve, total: int) -> Spec:
    """Return training and test curves of some trainings: test strong, training faint.

    epochs: a row per training and epoch with name (a key of looks), epoch, train_loss, test_loss (nats), train_accuracy
    and test_accuracy (percent); without rows, only axes are drawn. total: the last epoch of the axis, which stays while
    trainings run.
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
    lines = base.mark_line().encode(
        strokeDash=dash(looks),
        opacity=alt.Opacity(**_by_part(_OPACITY)),
        strokeWidth=alt.StrokeWidth(**_by_part(_WIDTH)),
    )
    points = base.mark_point(size=30, filled=True, opacity=0).encode()
    return vega.spec(alt.layer(lines, points, height=HEIGHT))


def _by_part(values: Mapping[str, float]) -> dict[str, Any]:
    scale = alt.Scale(domain=list(values), range=list(values.values()))
    return {"shorthand": "part:N", "scale": scale, "legend": None}


_RESIDUAL_KEYS = ["pruner", "learning_rate", "sparsity", "round"]


def residuals(subject: Subject, rows: pd.DataFrame, rates: Sequence[float]) -> Chart:
    """Return the chart of ADMM's primal residual by round; arguments as in `draw_residuals`."""
    title = "ADMM's primal residual by round"
    return Chart(
        name=subject.file_name("admm"),
        spec=draw_residuals(rows, rates),
        title=title,
        alt=f"{title}.",
        numbers=lambda: subject.numbers(summarise(rows, "residual", _RESIDUAL_KEYS, "sd"), "sd"),
        about=subject.about("mean over seeds, a line per learning rate and sparsity"),
        legend=Legend(tuple(strokes(rate_looks(rates)).values()), note=_pruners_note(rows)),
    )


def draw_residuals(rows: pd.DataFrame, rates: Sequence[float]) -> Spec:
    """Return ADMM's primal residual by round on a log axis, a line per learning rate and sparsity, mean over seeds.

    rows: `data.queries.studies.residuals` rows of one dataset and network; where there are two pruners, lines of the
    second are dashed. rates: all learning rates of the study, so that each keeps its colour.
    """
    looks = rate_looks(rates)
    frame = summarise(rows, "residual", _RESIDUAL_KEYS, "sd")
    # A residual of exactly 0 has no place on a logarithmic axis.
    frame = frame[frame["mean"] > 0]
    frame = frame.assign(
        name=frame["learning_rate"].map(rate_name),
        removed=removed(frame["sparsity"]),
        pruner=frame["pruner"].map(words.pruner),
        described=described(frame, "sd", digits=4),
    )
    base = alt.Chart(frame[["name", "pruner", "removed", "round", "mean", "n", "described"]]).encode(
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
            *mean_tooltip("residual", "sd"),
        ],
    )
    titles = _titles(rows)
    dashes = alt.StrokeDash("pruner:N", scale=alt.Scale(domain=titles, range=_DASHES[: len(titles)]), legend=None)
    lines = base.mark_line(strokeWidth=1.75).encode(strokeDash=dashes)
    return vega.spec(alt.layer(lines, base.mark_point(size=30, filled=True, opacity=1), height=HEIGHT))


def _pruners_note(rows: pd.DataFrame) -> str:
    """Return which pruner's lines are solid and which are dashed; empty where there is one pruner."""
    titles = _titles(rows)
    texts = [f"{title}: {dashes}" for title, dashes in zip(titles, _DASH_NAMES, strict=False)]
    return " · ".join(texts) if len(texts) > 1 else ""


def _titles(rows: pd.DataFrame) -> list[str]:
    present = set(rows["pruner"])
    known = [name for name in PRUNERS if name in present]
    return [words.pruner(name) for name in (*known, *sorted(present.difference(known)))]
