"""Saving one chart: as a picture, and the exact numbers that it draws."""

from collections.abc import Callable

import streamlit as st

from app.charts.picture import Spec, png, svg
from app.charts.saving import PARQUET, Saving, csv, parquet, picture

# How each kind of file is made and served: MIME type, what it is in words.
KINDS: dict[str, tuple[Callable[[Spec, Saving], bytes | str], str, str]] = {
    "png": (lambda drawn, saving: png(picture(drawn, saving)), "image/png", "Picture (PNG)"),
    "svg": (lambda drawn, saving: svg(picture(drawn, saving)), "image/svg+xml", "Drawing (SVG)"),
    "csv": (lambda drawn, saving: csv(saving.numbers()), "text/csv", "Numbers (CSV)"),
    "parquet": (
        lambda drawn, saving: parquet(saving.numbers()),
        PARQUET,
        "Numbers (Parquet)",
    ),
}


@st.fragment
def menu(drawn: Spec, saving: Saving, key: str) -> None:
    """Show what saves a chart; a file is made only when it is asked for."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        opened = st.popover(
            "Save", icon=":material/download:", type="tertiary", on_change="rerun", key=f"{key}-save", width="content"
        )
    if not opened.open:
        return
    with opened, st.container(gap=None):
        for ending, (make, mime, label) in KINDS.items():
            st.download_button(
                label,
                _maker(make, drawn, saving),
                f"{saving.name}.{ending}",
                mime,
                on_click="ignore",
                type="tertiary",
                key=f"{key}-{ending}",
            )


def _maker(make: Callable[[Spec, Saving], bytes | str], drawn: Spec, saving: Saving) -> Callable[[], bytes | str]:
    return lambda: make(drawn, saving)
