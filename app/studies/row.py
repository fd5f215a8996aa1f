"""A study in the list: what it is, how far it is, and what it answers."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import words
from app.answer import miniature
from app.state import live
from app.state.queries import FINISHED
from app.studies import choice, edit, glance
from app.studies.glance import Glance

# Rows without a miniature line up with the others.
_EMPTY = f"<div style='height:{miniature.HEIGHT:g}px'></div>"


def row(study: Mapping[str, Any], seen: Glance | None) -> None:
    """Show a study; study: as in `queries.studies`. seen: None while there was no time for it yet."""
    study_id = study["study_id"]
    with st.container(border=True, key=f"card-{study_id}", gap="xsmall"):
        if edit.is_open(study_id):
            edit.form(study)
            return
        with st.container(horizontal=True, vertical_alignment="top", gap="small", wrap=False):
            choice.checkbox(study)
            with st.container(key=f"glance-{study_id}", width=int(miniature.WIDTH)):
                st.html((seen and seen.image) or _EMPTY)
            with st.container(gap="xxsmall", width="stretch"):
                _head(study)
                _progress(study)
                if seen is not None and seen.badges:
                    st.markdown(seen.badges)


def _head(study: Mapping[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        name = words.plain(study["name"])
        st.page_link("views/study.py", label=f"**{name}**", query_params={"study": study["study_id"]})
        tags = [f":violet-badge[{words.plain(tag)}]" for tag in study["tags"]]
        st.markdown(" ".join([words.badge(study["state"]), *tags]), width="content")
        edit.button(study["study_id"])
    st.caption(words.plain(words.compares(study)))
    if note := " ".join(study["note"].split()):
        st.caption(words.plain(note if len(note) <= 160 else f"{note[:159].rstrip()}…"))


def _progress(study: Mapping[str, Any]) -> None:
    parts = [counts(study), f"launched {words.ago(study['created_at'])}"]
    if study["state"] == "done":
        parts.append(f"took {words.duration((study['finished_at'] - study['created_at']).total_seconds())}")
    if study["state"] not in FINISHED:
        fraction = float(study["done"]) / max(1, int(study["stages"]))
        if study["running"]:
            fraction, left = glance.training(study)
            if left is not None:
                parts.append(f"about {words.duration(left)} left, done {words.clock(left, live.zone())}")
        st.progress(fraction)
    st.caption(" · ".join(parts))


def counts(study: Mapping[str, Any]) -> str:
    """Return the numbers of stages that are done, running, failed and reused, in words."""
    parts = [f"{study['done']:,} of {words.plural(int(study['stages']), 'stage')} done"]
    parts += [f"{study[state]:,} {state}" for state in ("running", "failed") if study[state]]
    if study["reused"]:
        parts.append(f"{study['reused']:,} reused")
    return " · ".join(parts)
