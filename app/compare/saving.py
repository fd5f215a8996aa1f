"""What the charts of a comparison are saved as: names, headings, legends and the numbers that they draw."""

from collections.abc import Callable, Iterable

import pandas as pd

from app.charts.accuracy import MEASURES
from app.charts.palette import STARTS, Look
from app.charts.picture import Legend
from app.charts.points import SPREADS, Spread, band, summarise
from app.charts.saving import Saving, file_name
from app.compare.points import KEYS, Comparison, Panel
from app.compare.state import CompareState

Numbers = Callable[[], pd.DataFrame]


def means(rows: pd.DataFrame, value: str, by: list[str], spread: Spread) -> Numbers:
    """Return what gives the means over seeds of a column, with their spread and n, when it is asked for."""

    def numbers() -> pd.DataFrame:
        columns = [name for name in ("network", "dataset", "recipe") if name in rows and name not in by]
        return summarise(rows, value, [*columns, *by], spread).assign(band=SPREADS[spread])

    return numbers


def chart(name: str, title: str, numbers: Numbers, looks: Iterable[Look], bands: str, about: str = "") -> Saving:
    """Return what one chart is saved as; name: of the files, behind "compare"."""
    return Saving(file_name("compare", name), title, numbers, about, Legend(tuple(looks), bands))


def panel(state: CompareState, shown: Panel, comparison: Comparison, found: pd.DataFrame) -> Saving:
    """Return what a panel of accuracies is saved as; found: the points of all panels."""
    ids = {*shown.lines["id"], *shown.dense["id"]}

    def numbers() -> pd.DataFrame:
        rows = found[found["id"].isin(ids)][[*KEYS, "mean", "sd", "low", "high", "n"]]
        return rows.assign(measure=state.measure, band=SPREADS[state.spread])

    looks = [*comparison.colours.values()]
    if len(shown.dense) and STARTS["dense"].name not in comparison.colours:
        looks.append(STARTS["dense"])
    return chart(
        f"accuracy-{shown.title}",
        f"Test accuracy ({MEASURES[state.measure]}) against sparsity, {shown.title}",
        numbers,
        [*looks, *comparison.rests.values()],
        band(state.spread),
    )
