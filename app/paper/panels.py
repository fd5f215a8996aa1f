"""The panels of one figure of the paper with their charts, which are cached until a result changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from app import words
from app.charts.chart import Chart
from app.charts.points import Spread
from app.charts.vega import Spec
from app.paper import panel_chart, runs
from app.paper.panel_chart import share_axis
from app.paper.runs import FigureSettings, Runs
from app.state.cache import cached
from engine.paper import figures, studies
from engine.paper.figures import FIGURES, Figure, Panel, Reported


@dataclass(frozen=True)
class FigurePanel:
    """A panel at the scale of its runs, which may stand for several, its caption, and its chart; None without runs."""

    panel: Panel
    caption: tuple[str, str]
    chart: Chart | None


@cached(runs.results, max_entries=64, shared=True, hash_funcs={FigureSettings: repr})
def panels(name: str, chosen: FigureSettings, spread: Spread) -> tuple[FigurePanel, ...]:
    """Return the panels of a figure in the paper's order; errors as for `runs.planned`."""
    figure = FIGURES[name]
    trained = runs.trained(figure, chosen)
    drawn = studies.drawn(figure.panels, chosen.scale, chosen.data)
    # The paper's numbers are marked only on charts of the paper's settings.
    numbers = figures.reported(figure) if chosen.is_paper else ()
    figure_panels = []
    for panel, originals in drawn:
        rows = panel_chart.rows_of(trained.accuracy if panel.quantity == "accuracy" else trained.pooled, panel)
        caption, chart = (_caption(panel), _status(trained, panel, originals)), None
        if not rows.empty:
            like = [other for other, _ in drawn if other.quantity == panel.quantity and share_axis(other, panel)]
            stated = [number for number in numbers if any(figures.shows(original, number) for original in originals)]
            spec = _spec(trained, rows, panel, like, spread, stated)
            chart = panel_chart.chart(figure, panel, rows, caption, spec, spread)
        figure_panels.append(FigurePanel(panel, caption, chart))
    return tuple(figure_panels)


def once(figure: Figure, chosen: FigureSettings) -> str:
    """Return a sentence on the panels that one chart stands for, empty where each panel has its own runs."""
    groups = [
        panel.label for panel, originals in studies.drawn(figure.panels, chosen.scale, chosen.data) if originals[1:]
    ]
    if not groups:
        return ""
    if groups == [""]:
        return f"All {len(figure.panels)} rows of the paper have the same runs here, which are shown once."
    which = words.listing([f"({labels})" for labels in groups])
    return f"Panels whose runs are the same here are drawn once: {which}."


def _spec(
    trained: Runs, rows: pd.DataFrame, panel: Panel, like: Sequence[Panel], spread: Spread, stated: Sequence[Reported]
) -> Spec:
    """Return a panel as Vega-Lite; accuracies have one axis with the panels in `like`."""
    if panel.quantity == "accuracy":
        y = panel_chart.domain([panel_chart.rows_of(trained.accuracy, other) for other in like], spread)
        return panel_chart.draw_accuracy(rows, panel, spread, y, stated)
    draw = panel_chart.draw_retention if panel.quantity == "retention" else panel_chart.draw_start_overlap
    return draw(rows, panel, spread)


def _caption(panel: Panel) -> str:
    parts = [words.place(panel.network, panel.dataset)]
    if len(panel.learning_rates) == 1:
        parts.append(f"learning rate {words.number(panel.learning_rates[0])}")
    if len(panel.pruners) == 1:
        parts.append(words.pruner(panel.pruners[0]))
    text = ", ".join(parts)
    return f"({panel.label}) {text}" if panel.label else text


def _status(trained: Runs, panel: Panel, originals: Sequence[Panel]) -> str:
    """Return in words the paper's panels that a scaled one replaces, its number of seeds, and its dense accuracy."""
    parts = []
    places = dict.fromkeys((original.network, original.dataset) for original in originals)
    if (panel.network, panel.dataset) not in places:
        parts.append(f"stands for {words.listing([words.place(*place) for place in places])}")
    rows = panel_chart.rows_of(trained.accuracy, panel)
    trainings = rows if rows.empty or not panel.trained else rows[rows["start"] != "dense"]
    if trainings.empty:
        return " · ".join([*parts, "not trained yet"])
    seeds = trainings.groupby("seed").size()
    parts.append(words.plural(int((seeds == seeds.max()).sum()), "seed"))
    dense = rows[rows["start"] == "dense"]["test_accuracy"]
    if panel.dense and len(panel.learning_rates) == 1 and len(dense):
        parts.append(f"dense {dense.mean():.2f} % (n = {len(dense)})")
    return " · ".join(parts)
