"""Charts and tables of accuracy against sparsity: a panel per learning rate and pruner, a line per start."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts import marks, vega
from app.charts.chart import Chart, Subject
from app.charts.palette import NEUTRAL, STARTS
from app.charts.picture import Legend
from app.charts.points import Spread, band_words, described, notes, setting_columns, summarise
from app.charts.vega import Spec

Measure = Literal["test_accuracy", "best_test_accuracy"]

# The best epoch is chosen on the test images, so its accuracy is too high: its name says so on every page.
MEASURES: dict[Measure, str] = {
    "test_accuracy": "last epoch",
    "best_test_accuracy": "best epoch on the test images",
}
HEIGHT = 290

# A panel's specification names its two sets of rows so.
_LINES, _DENSE = "lines", "dense"
_KEYS = ["learning_rate", "pruner", "start", "sparsity"]


@dataclass(frozen=True)
class AccuracyPanel:
    """The rows of one learning rate and pruner.

    lines: a row per start and sparsity with start, sparsity, mean, sd, low, high, n, and a note where the measured
    sparsity departs. dense: the row of the dense baseline, or no row.
    """

    learning_rate: float
    pruner: str
    lines: pd.DataFrame
    dense: pd.DataFrame

    @property
    def title(self) -> str:
        """The panel's name: its learning rate and pruner."""
        return f"learning rate {words.number(self.learning_rate)} · {words.pruner(self.pruner)}"


def panels(accuracy: pd.DataFrame, measure: Measure, spread: Spread) -> list[AccuracyPanel]:
    """Return the panels of one dataset and network, by pruner, then learning rate.

    accuracy: `data.queries.points.accuracy` rows of one dataset and one network, in percent.
    """
    dense = summarise(accuracy[accuracy["start"] == "dense"], measure, ["learning_rate"], spread)
    pruned = accuracy[accuracy["start"] != "dense"]
    lines = summarise(pruned, measure, _KEYS, spread)
    lines["note"] = _notes(lines, pruned, _KEYS)
    rates = sorted(accuracy["learning_rate"].unique())
    return [
        AccuracyPanel(
            float(rate),
            pruner,
            lines[(lines["pruner"] == pruner) & (lines["learning_rate"] == rate)],
            dense[dense["learning_rate"] == rate],
        )
        for pruner in map(str, dict.fromkeys(pruned["pruner"]))
        for rate in rates
    ]


def domain(panels: Sequence[AccuracyPanel]) -> tuple[float, float]:
    """Return the ends of an accuracy axis, in percent, that holds every mean and band of some panels."""
    return marks.accuracy_domain([frame for panel in panels for frame in (panel.lines, panel.dense)])


def chart(subject: Subject, panel: AccuracyPanel, measure: Measure, spread: Spread, y: tuple[float, float]) -> Chart:
    """Return the chart of one panel; arguments as in `draw`."""
    rate, pruner = words.number(panel.learning_rate), words.pruner(panel.pruner)
    starts = {*panel.lines["start"], *(["dense"] if len(panel.dense) else [])}

    def numbers() -> pd.DataFrame:
        frames = (panel.dense.assign(start="dense", sparsity=0.0), panel.lines)
        means = pd.concat([frame for frame in frames if len(frame)])[[*_KEYS[2:], "mean", "sd", "low", "high", "n"]]
        return subject.numbers(means, spread, learning_rate=panel.learning_rate, pruner=panel.pruner, measure=measure)

    return Chart(
        name=subject.file_name("accuracy", f"lr{rate}", panel.pruner),
        spec=draw(panel, measure, spread, y),
        title=f"Test accuracy ({MEASURES[measure]}) against sparsity, learning rate {rate}",
        alt=f"Test accuracy against sparsity, {panel.title}; the numbers are in the table below.",
        numbers=numbers,
        caption=(f"{panel.title[:1].upper()}{panel.title[1:]}", dense_words(panel, spread)),
        about=subject.about(pruner),
        legend=Legend(tuple(look for start, look in STARTS.items() if start in starts), band_words(spread)),
    )


def draw(panel: AccuracyPanel, measure: Measure, spread: Spread, y: tuple[float, float]) -> Spec:
    """Return one panel: mean accuracy by sparsity for every start, bands over seeds, the dense baseline as a rule.

    y: the ends of the accuracy axis in percent.
    """
    lines = _labelled(panel.lines, spread)
    sparsities = tuple(sorted(lines["removed"].unique()))
    span = marks.sparsity_span(sparsities)
    dense = panel.dense.assign(described=_with_notes(panel.dense, spread), left=span[0], right=span[1])
    rows = {_LINES: lines, _DENSE: dense[["mean", "low", "high", "n", "described", "left", "right"]]}
    return vega.filled(_panel, (sparsities, span, not dense.empty, measure, spread, y), rows)


def _panel(
    sparsities: Sequence[float],
    span: tuple[float, float],
    has_dense: bool,
    measure: Measure,
    spread: Spread,
    y: tuple[float, float],
) -> marks.LayeredChart:
    looks = {look.name: look for look in STARTS.values()}
    base = alt.Chart(alt.NamedData(name=_LINES)).encode(
        x=marks.sparsity_axis(sparsities, span), color=marks.colour(looks)
    )
    tooltip = [
        alt.Tooltip("name:N", title="start"),
        alt.Tooltip("symbol:N", title="symbol"),
        alt.Tooltip("removed:Q", title="sparsity (%)", format=marks.PERCENT),
        *marks.mean_tooltip("accuracy (%)", spread),
    ]
    layers = [
        *(_baseline(spread) if has_dense else ()),
        *marks.mean_lines(base, marks.accuracy_axis(MEASURES[measure], y, clamp=True), looks, tooltip),
    ]
    return alt.layer(*layers, height=HEIGHT)


def _labelled(lines: pd.DataFrame, spread: Spread) -> pd.DataFrame:
    frame = lines.assign(
        removed=marks.removed(lines["sparsity"]),
        name=lines["start"].map(words.start),
        symbol=lines["start"].map(lambda start: STARTS[start].symbol),
        described=_with_notes(lines, spread),
    )
    return frame[["name", "symbol", "removed", "mean", "low", "high", "n", "described"]]


def _with_notes(rows: pd.DataFrame, spread: Spread, unit: str = "") -> list[str]:
    remarks = rows["note"] if "note" in rows.columns else [""] * len(rows)
    texts = zip(described(rows, spread, unit=unit), remarks, strict=True)
    return [f"{text}, {note}" if note else text for text, note in texts]


def _notes(points: pd.DataFrame, rows: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """Return a note for each point whose measured sparsity departs, else an empty text; rows: of all trainings."""
    by_point = notes(rows, keys)
    return [by_point.get(key, "") for key in points[list(keys)].itertuples(index=False, name=None)]


def dense_words(panel: AccuracyPanel, spread: Spread) -> str:
    """Return a panel's dense baseline with its spread and n in words."""
    if panel.dense.empty:
        return "dense baseline not finished yet"
    return f"dense baseline {_with_notes(panel.dense, spread, ' %')[0]}"


def _baseline(spread: Spread) -> list[alt.Chart]:
    base = alt.Chart(alt.NamedData(name=_DENSE)).encode(x=alt.X("left:Q"), x2=alt.X2("right:Q"))
    return [
        base.mark_rect(opacity=0.16, color=NEUTRAL).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_rule(color=NEUTRAL, strokeWidth=1.5, strokeDash=list(STARTS["dense"].dash)).encode(
            y=alt.Y("mean:Q"), tooltip=marks.mean_tooltip("dense accuracy (%)", spread)
        ),
    ]


def numbers(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the accuracies of all points for CSV, a row per point, in percent.

    Columns: dataset, network, learning_rate, pruner, sparsity, start, mean, sd, n.
    """
    keys = ["dataset", "network", "learning_rate", "pruner", "sparsity", "start"]
    table = summarise(accuracy, measure, keys, "sd").drop(columns=["low", "high"])
    return table.rename(columns={"mean": f"{measure}_mean", "sd": f"{measure}_sd"})


def table(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the accuracies in words: a row per learning rate, pruner and sparsity, a column per start.

    Cells are mean ± standard deviation in percent with n, and the measured sparsity where it departs; a cell is empty
    where no training has finished.
    """
    keys = ["learning_rate", "pruner", "sparsity"]
    points = summarise(accuracy, measure, [*keys, "start"], "sd")
    points["note"] = _notes(points, accuracy, [*keys, "start"])
    points["cell"] = _with_notes(points, "sd")
    dense = points[points["start"] == "dense"].set_index("learning_rate")["cell"]
    pruned = points[points["start"] != "dense"]
    wide = pruned.pivot(index=keys, columns="start", values="cell").reset_index()
    table = setting_columns(wide)
    for name, look in STARTS.items():
        if name in wide.columns:
            table[look.name] = wide[name]
    table[STARTS["dense"].name] = wide["learning_rate"].map(dense)
    return table.fillna("")


def dense_table(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the dense baselines in words: mean ± standard deviation in percent with n, by learning rate."""
    points = summarise(accuracy[accuracy["start"] == "dense"], measure, ["learning_rate"], "sd")
    rates = points["learning_rate"].map(words.number)
    return pd.DataFrame({"learning rate": rates, STARTS["dense"].name: _with_notes(points, "sd")})
