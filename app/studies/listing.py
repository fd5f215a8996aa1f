"""The list of studies, which refreshes itself."""

import time
from dataclasses import replace

import pandas as pd
import streamlit as st

from app import words
from app.components import dialogs
from app.state import address, audience, live, queries
from app.studies import choice, edit, filters, glance, row
from app.studies.filters import Filters

PER_PAGE = 20
# Seconds between two refreshes, while a study is unfinished and while none is: the command line may launch one.
BUSY, IDLE = 2.0, 10.0
# Seconds between the drawing of the list and a look at the studies whose answers it lacks.
SOON = 0.1

_SHOWN = "studies_shown"


def studies() -> pd.DataFrame:
    """Return all studies except those that this visitor just deleted, which the database may still have."""
    listed = queries.studies()
    deleted = live.deleted()
    return listed[~listed["study_id"].isin(deleted)] if deleted else listed


def pace(listed: pd.DataFrame) -> float | None:
    """Return the seconds between two refreshes; None while the reader changes a study or has a dialog open."""
    if edit.any_open() or dialogs.is_open():
        return None
    return BUSY if (~listed["state"].isin(queries.FINISHED)).any() else IDLE


@audience.database_errors()
def body(chosen: Filters, every: float | None) -> None:
    """Show the studies that match; every: seconds between two refreshes."""
    listed = studies()
    if pace(listed) != every:
        st.rerun()
    matches = filters.select(listed, chosen)
    if matches.empty:
        _nothing(chosen)
        return
    limit = st.session_state.get(_SHOWN, PER_PAGE)
    shown = matches.head(limit)
    choice.bar(shown)
    seen, missing = glance.known(list(shown["study_id"]))
    if chosen.narrow:
        st.caption(f"{len(matches):,} of {words.plural(len(listed), 'study', 'studies')}")
    with st.container(key="studies_list", gap="small"):
        for study in shown.to_dict("records"):
            row.row(study, seen.get(study["study_id"]))
    if len(matches) > limit:
        label = f"Show {min(PER_PAGE, len(matches) - limit)} more of {len(matches):,}"
        st.button(label, key="more", on_click=_show_more, args=(limit,))
    if missing:
        st.fragment(_look, run_every=SOON)(missing, time.monotonic())
    address.save()


@audience.database_errors()
def _look(missing: tuple[str, ...], drawn: float) -> None:
    """Look at studies and draw the list again with what they answer, but not in the run that has just drawn it."""
    if time.monotonic() - drawn > SOON / 2:
        glance.look(missing)
        st.rerun()


def _show_more(limit: int) -> None:
    st.session_state[_SHOWN] = limit + PER_PAGE


def _nothing(chosen: Filters) -> None:
    query = chosen.query.strip()
    what = f"“{words.plain(query)}”" if query else "these filters"
    others = " with these filters" if query and replace(chosen, query="").narrow else ""
    st.info(f"No study matches {what}{others}. Search looks at names, notes, tags, states and what a study compares.")
    st.button("Clear the filters", key="clear", on_click=filters.clear)
    address.save()
