"""The learning rate sweep on a page: its panels below each other, and the chart of gap against overlap."""

from dataclasses import replace

import streamlit as st

from app.answer.sweep import EXPLAINED, EXPLAINED_GAP, PANELS, Sweep
from app.answer.sweep_chart import BAND
from app.charts.marks import CHANCE
from app.charts.points import Spread, band_words
from app.components import chart


def show(sweep: Sweep, at: str, spread: Spread, key: str) -> None:
    """Show a sweep; at: the pruner and sparsity of its runs, in words. key: distinguishes several on a page."""
    panels(sweep, at, spread, key)
    st.header("Gap against overlap", anchor=False)
    gap_against_overlap(sweep, key)


def panels(sweep: Sweep, at: str, spread: Spread, key: str) -> None:
    """Show accuracy, overlap and gap by learning rate, with their legend."""
    st.caption(EXPLAINED.format(at=at))
    bands = f"{band_words(spread)}; {BAND}"
    if len(sweep.rests) > 1:
        chart.legend_row([replace(look, shape="stroke", dash=()) for look in sweep.starts], bands)
        chart.legend_row([*sweep.rests, CHANCE])
    else:
        chart.legend_row([*sweep.starts, CHANCE], bands)
    with st.container(gap="xsmall", key=f"{key}_sweep"):
        for name, quantity in PANELS.items():
            if name in sweep.panels:
                chart.show(sweep.panels[name], f"{key}-{name}")
            else:
                st.caption(f"{quantity}: no result to draw yet.")


def gap_against_overlap(sweep: Sweep, key: str) -> None:
    """Show winning ticket minus random reinit against overlap, a point for each seed."""
    if sweep.gap_against_overlap is None:
        st.info("Needs winning-ticket and random-reinit runs of the same seed, and the dense network's overlap.")
        return
    st.caption(EXPLAINED_GAP.format(pairs=sweep.pairs))
    chart.legend_row([*sweep.rates, *(sweep.networks if len(sweep.networks) > 1 else [])])
    chart.show(sweep.gap_against_overlap, f"{key}-thesis")
