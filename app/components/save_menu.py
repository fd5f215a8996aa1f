"""The menu that saves a chart as a picture, or the numbers that it draws."""

from collections.abc import Callable

import streamlit as st

from app.charts.chart import PARQUET, Chart, csv, parquet
from app.charts.picture import png, svg

# For each kind of file, by its ending: the function that makes it, its MIME type, and its label in the menu.
KINDS: dict[str, tuple[Callable[[Chart], bytes | str], str, str]] = {
    "png": (lambda chart: png(chart.picture), "image/png", "Picture (PNG)"),
    "svg": (lambda chart: svg(chart.picture), "image/svg+xml", "Drawing (SVG)"),
    "csv": (lambda chart: csv(chart.numbers()), "text/csv", "Numbers (CSV)"),
    "parquet": (lambda chart: parquet(chart.numbers()), PARQUET, "Numbers (Parquet)"),
}


@st.fragment
def menu(chart: Chart, key: str) -> None:
    """Show the menu of a chart; a file is made only when it is requested."""
    opened = st.popover(
        "Save", icon=":material/download:", type="tertiary", on_change="rerun", key=f"{key}-save", width="content"
    )
    if not opened.open:
        return
    with opened, st.container(gap=None):
        for ending, (make, mime, label) in KINDS.items():
            st.download_button(
                label,
                _maker(make, chart),
                f"{chart.name}.{ending}",
                mime,
                on_click="ignore",
                type="tertiary",
                key=f"{key}-{ending}",
            )


def _maker(make: Callable[[Chart], bytes | str], chart: Chart) -> Callable[[], bytes | str]:
    return lambda: make(chart)
