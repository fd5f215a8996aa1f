"""The section of a comparison on the difference of two studies at each point that both have."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from app import words
from app.answer.difference import EXPLAINED, POINT, WELCH, differences, domain, draw
from app.charts.accuracy import MEASURES
from app.charts.chart import Chart, file_name
from app.charts.palette import present
from app.charts.picture import Legend
from app.compare import controls
from app.compare.points import comparable, filtered, label, point_columns, values
from app.compare.state import CompareState, results
from app.components import chart
from app.guide.prose import prose
from app.state import compare_queries
from app.state.cache import cached

_PANEL = ["dataset", "network", "learning_rate", "pruner"]
MOST_PANELS = 6


def section(state: CompareState) -> None:
    """Show one study minus another, which the reader chooses where there are more than two."""
    if len(state.studies) < 2:
        return
    st.header("Difference of two studies", anchor=False)
    one, other = controls.versus(state, _names(state.studies))
    rows = _differences(replace(state, versus=(0, 1)), state.studies[one], state.studies[other])
    if rows.empty:
        st.info("These two studies have no point in common: none of equal dataset, network, rate, pruner and sparsity.")
        return
    names = _names(state.studies)
    title = f"{names[one]} minus {names[other]}"
    st.caption(prose(EXPLAINED.format(points=words.plural(len(rows), "point"), chance=0.05 * len(rows))))
    charts, total = _charts(replace(state, point="", zoom=None, versus=(0, 1)), one, other, title)
    if charts:
        chart.legend_of(charts[0])
        chart.grid(
            len(charts),
            chart.columns(len(charts)),
            lambda index: chart.show(charts[index], f"compare-difference-{index}"),
        )
        if total > len(charts):
            st.caption(f"The {len(charts)} of {total} panels with the largest differences; the table has all.")
    chart.table(_table(rows, names[one], names[other]), "compare_differences")
    chart.csv_button("Differences as CSV", lambda: rows, "compare-difference.csv", "compare_difference_csv")


def _names(ids: tuple[str, ...]) -> list[str]:
    """Return the names of studies; one without results is named by its id."""
    rows = compare_queries.accuracy(ids)[["study_id", "study"]].drop_duplicates()
    names = dict(zip(rows["study_id"], rows["study"], strict=True))
    return [str(names.get(study_id, study_id)) for study_id in ids]


@cached(results, max_entries=16, shared=True)
def _differences(state: CompareState, one: str, other: str) -> pd.DataFrame:
    rows = values(comparable(compare_queries.accuracy(state.studies), studies=True), state.measure, state.quantity)
    rows = filtered(rows, state)
    return differences(rows[rows["study_id"] == one], rows[rows["study_id"] == other], state.measure)


@cached(results, max_entries=16, shared=True)
def _charts(state: CompareState, one: int, other: int, title: str) -> tuple[list[Chart], int]:
    """Return the panels of pruned networks with the largest differences, in their order, and the number of all."""
    rows = _differences(state, state.studies[one], state.studies[other])
    pruned = rows[rows["start"] != "dense"]
    if pruned.empty:
        return [], 0
    parts = dict(iter(pruned.groupby(_PANEL, sort=False)))
    order = sorted(parts, key=lambda key: -float(parts[key]["difference"].abs().max()))[:MOST_PANELS]
    y = domain(pruned)
    several = [name for name in _PANEL if pruned[name].nunique() > 1 or name == "learning_rate"]
    charts = []
    for key in (key for key in parts if key in order):
        place = dict(zip(_PANEL, key, strict=True))
        where = " · ".join(label(name, place[name]) for name in several)  # type: ignore[arg-type]
        part = parts[key]
        charts.append(
            Chart(
                name=file_name("compare", "difference", where),
                spec=draw(part, "difference (points)", state.axis == "remaining", y),
                title=f"{title}, {where}",
                alt=f"Test accuracy of {title} against sparsity, {where}; the numbers are in the table below.",
                numbers=lambda part=part: part,  # type: ignore[misc]
                caption=(where[0].upper() + where[1:], title),
                about=f"test accuracy, {MEASURES[state.measure]}, bars: 95 % intervals",
                legend=Legend(
                    tuple(present(part["start"]).values()),
                    note="bars: 95 % intervals",
                ),
            )
        )
    return charts, len(parts)


def _table(rows: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    columns = point_columns(rows.assign(study="", recipe="")[["study", "recipe", *POINT]])
    return columns.assign(
        **{
            f"mean, {one}": rows["one"].round(2),
            f"mean, {other}": rows["other"].round(2),
            "difference": rows["difference"].round(2),
            "95 % from": rows["low"].round(2),
            "to": rows["high"].round(2),
            "n": rows["n"] if (rows["how"] == WELCH).any() else rows["n"].astype(int),
            "by": rows["how"],
        }
    )
