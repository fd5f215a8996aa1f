"""Charts with their legends, tables, and the choices that several pages offer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from app import words
from app.answer.answers import TELLING
from app.charts import vega
from app.charts.chart import Chart, Subject
from app.charts.palette import Look, legend
from app.charts.points import SPREADS, Spread, digits
from app.charts.points import head as head_of
from app.components.save_menu import menu
from app.guide.prose import prose
from app.state import address, queries
from app.state.cache import Marker
from data.datasets.registry import FOLDER

vega.enable()

# A browser takes about 40 ms for a panel, so this many take less than half a second.
MOST_PANELS = 8

T = TypeVar("T")

# A table of more rows than this scrolls.
MOST_ROWS = 40


def show(chart: Chart, key: str) -> None:
    """Show one chart below its head, in a container of this key."""
    with st.container(key=key, gap=None):
        head(chart, key)
        st.vega_lite_chart(chart.packed, width="stretch", key=f"{key}-chart", alt=chart.alt)


def head(chart: Chart, key: str) -> None:
    """Show the caption of a chart, and beside it the menu that saves the chart."""
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="top", gap="small"):
        if chart.caption:
            with st.container(gap=None, width="stretch"):
                caption(chart.caption)
        with st.container(width="content"):
            menu(chart, key)


def caption(lines: Sequence[str]) -> None:
    """Show the lines above a chart, a heading first."""
    heading, *details = lines
    below = (f":gray[:small[{prose(detail)}]]" for detail in details)
    st.markdown("  \n".join([f"**{words.marked(heading)}**", *below]))


def legend_row(looks: Iterable[Look], bands: str = "", note: str = "") -> None:
    """Show the legend of the charts below; see `app.charts.palette.legend`."""
    st.html(legend(looks, bands, note))


def legend_of(chart: Chart) -> None:
    """Show the legend that a chart shares with those beside it."""
    legend_row(chart.legend.looks, chart.legend.bands, chart.legend.note)


def table(rows: pd.DataFrame, key: str) -> None:
    """Show a table; one with numbers can be sorted, and has them right-aligned, one of many rows scrolls."""
    decimals = digits(rows)
    with st.container(key=key):
        if decimals or len(rows) > MOST_ROWS:
            st.dataframe(
                rows,
                hide_index=True,
                width="stretch",
                height=600 if len(rows) > MOST_ROWS else "auto",
                placeholder="",
                column_config={str(name): _column(str(name), decimals) for name in rows.columns},
            )
        else:
            # A table that scrolls loads a megabyte of code into a new browser. `st.table` reads cells as Markdown.
            cells = rows.astype(object).where(rows.notna(), "").astype(str)
            st.table(cells.map(words.plain).rename(columns=words.marked), hide_index=True, border="horizontal")


def _column(name: str, decimals: Mapping[str, int | None]) -> Any:
    if name not in decimals:
        return st.column_config.Column(head_of(name))
    count = decimals[name]
    return st.column_config.NumberColumn(head_of(name), format="%g" if count is None else f"%.{count}f")


def csv_button(label: str, numbers: Callable[[], pd.DataFrame], file: str, key: str) -> None:
    """Show a button that downloads a table as CSV; numbers: returns the table once the button is clicked."""

    def content() -> str:
        return str(numbers().to_csv(index=False))

    st.download_button(label, content, file, "text/csv", icon=":material/download:", on_click="ignore", key=key)


def columns(panels: int) -> int:
    """Return the number of panels side by side: three, or two where three would leave one alone in the next row."""
    return 3 if panels == 3 or panels > 4 else 2


def grid(count: int, columns: int, cell: Callable[[int], None]) -> None:
    """Lay out cells in rows of some columns, which are below each other where the window is narrow."""
    for first in range(0, count, columns):
        for offset, column in enumerate(st.columns(columns, gap="medium")):
            if first + offset < count:
                with column:
                    cell(first + offset)


def count_line(drawn: int, total: int) -> None:
    """Say how many panels are drawn, where there are more."""
    if total > drawn:
        st.caption(f"The first {drawn} of {total} panels; choose fewer by the filters to see others.")


def place_choice(rows: pd.DataFrame, key: str) -> tuple[str, str]:
    """Return the dataset and network of some rows; the reader selects them where there are several."""
    return (
        _choice("Dataset", sorted(rows["dataset"].unique()), words.dataset, f"{key}_dataset"),
        _choice("Network", sorted(rows["network"].unique()), words.network, f"{key}_network"),
    )


def _choice(label: str, options: Sequence[str], title: Callable[[str], str], key: str) -> str:
    if len(options) == 1:
        return options[0]
    key = address.one(key, options, text=_addressed(options).__getitem__)
    return str(st.selectbox(label, options, format_func=title, key=key, persist_state="page", width=220))


def _addressed(options: Sequence[str]) -> dict[str, str]:
    """Return what an address says of each option: a folder's name, as viewers read it, in place of its path."""
    texts: dict[str, str] = {}
    for option in options:
        name = words.dataset(option) if option.startswith(FOLDER) else option
        numbered = (name if number == 1 else f"{name} {number}" for number in count(1))
        texts[option] = next(text for text in numbered if text not in texts.values())
    return texts


def panel_pruners(pruners: Sequence[str], rates: int, key: str) -> list[str]:
    """Return the pruners whose panels are drawn: all, or the selected one where all would make too many panels."""
    if len(pruners) < 2 or len(pruners) * rates <= MOST_PANELS:
        return list(pruners)
    key = address.one(key, pruners)
    return [st.selectbox("Pruner", list(pruners), format_func=words.pruner, key=key, persist_state="page", width=200)]


def panel_rates(rates: Sequence[float], first: Sequence[float], key: str) -> list[float]:
    """Return the learning rates whose panels are drawn: all, or where they are many, those that the reader selects.

    first: the rates that are selected at first, and where the reader selects none.
    """
    # The address writes Python's numbers.
    rates = [float(rate) for rate in rates]
    if len(rates) <= words.MOST_LISTED:
        return rates
    chosen = st.multiselect(
        f"Panels, {len(first)} of {len(rates)} learning rates at first",
        rates,
        list(first),
        format_func=words.number,
        max_selections=MOST_PANELS,
        key=address.several(key, rates, first, MOST_PANELS),
        help=f"At first: {TELLING}. At most {MOST_PANELS}.",
        persist_state="page",
        width=420,
    )
    return sorted(chosen) or list(first)


def choice(label: str, titles: Mapping[T, str], key: str, default: T | None = None, **options: Any) -> T:
    """Return the option that the reader selects, at first the default or the first one; the address has it too.

    titles: the title of each option. options: as in `st.segmented_control`.
    """
    first = next(iter(titles)) if default is None else default
    selected: T = st.segmented_control(
        label,
        list(titles),
        default=first,
        required=True,
        format_func=titles.__getitem__,
        key=address.one(key, titles, first),
        persist_state="page",
        **options,
    )
    return selected


def spread_choice(key: str) -> Spread:
    """Return the spread that bands show, which the reader selects; the standard deviation at first."""
    key = address.one(key, SPREADS)
    return st.selectbox(
        "Band over seeds", list(SPREADS), format_func=SPREADS.__getitem__, key=key, persist_state="page", width=200
    )


def still() -> None:
    """Keep a page that refreshes itself from fading while it waits for new results."""
    st.html(
        "<style>[data-stale='true'] {opacity: 1 !important;} [data-testid='stStatusWidget'] {display: none;}</style>"
    )


def subject_results(subject: Subject) -> Marker:
    """Return what changes whenever the study that a chart is about has a new result."""
    return queries.results_marker(subject.study_id)
