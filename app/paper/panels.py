"""The panels of one figure of the paper, drawn once for each state of the results."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from app import words
from app.charts.points import Spread
from app.components import chart as drawing
from app.paper import panel_chart
from app.paper import runs as figure_data
from app.paper.runs import Runs, Settings
from app.state.cache import cached
from engine.paper import figures, studies
from engine.paper.figures import FIGURES, Panel, Reported


@dataclass(frozen=True)
class Drawn:
    """A panel: what stands above it, its rows and its chart, None where nothing of it is trained; see `charts_figure`.

    panel: as it is trained here.
    """

    panel: Panel
    caption: str
    standing: str
    rows: pd.DataFrame
    chart: drawing.Spec | None


@cached(figure_data.results, max_entries=64, shared=True, hash_funcs={Settings: repr})
def panels(name: str, chosen: Settings, spread: Spread) -> tuple[Drawn, ...]:
    """Return the panels of a figure in the paper's order; errors as for `figure_data.planned`."""
    figure = FIGURES[name]
    runs = figure_data.runs(figure, chosen)
    here = [studies.scaled(panel, chosen.scale, chosen.data) for panel in figure.panels]
    # The paper's own numbers belong on charts of its own settings alone.
    own = not studies.scaling(chosen.scale, chosen.data) and chosen.like is None
    numbers = figures.reported(figure) if own else ()
    found = []
    for panel, original in zip(here, figure.panels, strict=True):
        rows = panel_chart.rows_of(runs.accuracy if panel.quantity == "accuracy" else runs.pooled, panel)
        like = [other for other in here if other.quantity == panel.quantity and _compared(other, panel)]
        stated = [number for number in numbers if figures.shows(original, number)]
        chart = None if rows.empty else _chart(runs, rows, panel, like, spread, stated)
        found.append(Drawn(panel, _caption(panel), _standing(runs, panel, original), rows, chart))
    return tuple(found)


def _chart(
    runs: Runs,
    rows: pd.DataFrame,
    panel: Panel,
    like: Sequence[Panel],
    spread: Spread,
    stated: Sequence[Reported],
) -> drawing.Spec:
    """Return the chart of a panel's rows, on one accuracy axis with those like it."""
    if panel.quantity == "accuracy":
        y = panel_chart.domain([panel_chart.rows_of(runs.accuracy, other) for other in like], spread)
        return panel_chart.accuracy(rows, panel, spread, y, stated)
    draw = panel_chart.retention if panel.quantity == "retention" else panel_chart.start_overlap
    return drawing.spec(draw(rows, panel, spread))


def _compared(one: Panel, other: Panel) -> bool:
    """Return whether two panels share their accuracy axis: those of one network and dataset do."""
    return (one.dataset, one.network) == (other.dataset, other.network)


def _caption(panel: Panel) -> str:
    parts = [words.place(panel.network, panel.dataset)]
    if len(panel.learning_rates) == 1:
        parts.append(f"learning rate {words.number(panel.learning_rates[0])}")
    if len(panel.pruners) == 1:
        parts.append(words.pruner(panel.pruners[0]))
    told = words.plain(", ".join(parts))
    return f"({panel.label}) {told}" if panel.label else told


def _standing(runs: Runs, panel: Panel, original: Panel) -> str:
    """Return what panel of the paper a scaled one stands for, how many seeds it has, and its dense accuracy."""
    told = []
    if (panel.network, panel.dataset) != (original.network, original.dataset):
        told.append(f"for {words.place(original.network, original.dataset)}")
    rows = panel_chart.rows_of(runs.accuracy, panel)
    drawn = rows if rows.empty or not panel.trained else rows[rows["start"] != "dense"]
    if drawn.empty:
        return " · ".join([*told, "not trained yet"])
    seeds = drawn.groupby("seed").size()
    told.append(words.plural(int((seeds == seeds.max()).sum()), "seed"))
    dense = rows[rows["start"] == "dense"]["test_accuracy"]
    if panel.dense and len(panel.learning_rates) == 1 and len(dense):
        told.append(f"dense {dense.mean():.2f} % (n = {len(dense)})")
    return " · ".join(told)
