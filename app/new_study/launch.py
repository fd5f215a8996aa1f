"""Launching a study from a page: a plan's numbers, and one launch however often the button is clicked."""

import time
from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import words
from app.new_study import form
from app.new_study.preview import PlanPreview
from app.state import live
from data.datasets.source import Progress
from engine.errors import UserError
from engine.study.checks import Finding
from engine.study.spec import Study, to_toml
from tasks.studies import launch

# Two clicks on Launch within this time are one.
DOUBLE_CLICK = 5.0

_KINDS = {"pretrain": "dense", "retrain": "pruned", "admm": "ADMM"}


def plan_numbers(plan: PlanPreview, key: str = "plan_numbers") -> None:
    """Show the numbers of a plan."""
    with st.container(horizontal=True, gap="large", key=key):
        st.metric("Trainings", f"{plan.trainings:,}", width="content")
        st.metric(
            "Reused",
            f"{plan.reused:,}",
            width="content",
            help="Done before, by this or another study. Equal work is never repeated.",
        )
        st.metric(
            "About",
            words.duration(plan.seconds) if plan.trainings > plan.reused else "0 s",
            width="content",
            help="From measured speeds where there are any, else from the work that the networks hold.",
        )
    kinds = [f"{count:,} {_KINDS.get(kind, kind)}" for kind, count in plan.by_kind.items()]
    st.caption(f"{words.listing(kinds)} · on {words.plural(plan.workers, 'worker')}")
    for sentence in plan.rounds:
        st.caption(f"Iterative pruning: {words.plain(sentence)}")


def warnings(found: Sequence[Finding]) -> None:
    """Show the findings to read before a study is launched; they do not prevent it."""
    if not found:
        return
    with st.container(key="design_warnings", gap="xsmall"):
        title = f"{words.plural(len(found), 'thing')} to know before launching"
        st.markdown(f":orange[:material/warning: **{title}**]")
        for finding in found:
            label = form.LABELS.get(finding.field, finding.field)
            st.markdown(f"- :small[**{words.plain(label)}**: {words.plain(finding.text)}]")


def start(study: Study) -> None:
    """Launch a study and go to its page; where that fails, say why."""
    toml, last = to_toml(study), st.session_state.get("last_launch")
    if last is not None and last[0] == toml and time.time() - last[1] < DOUBLE_CLICK:
        study_id = last[2]
    else:
        try:
            with st.spinner("Queueing…"):
                study_id = launch.launch(study, _copying(st.empty()))
        except UserError as error:
            st.error(words.plain(str(error)))
            return
        st.session_state["last_launch"] = (toml, time.time(), study_id)
        live.expect_change(study_id)
    st.switch_page("views/study.py", query_params={"study": study_id})


def _copying(place: DeltaGenerator) -> Progress:
    """Return a function that says at a place that images are being copied, since that may take minutes."""

    def say(what: str, done: int, total: int) -> None:
        del done
        size = f" ({words.size(total)})" if total else ""
        place.caption(f"{words.plain(what)}{size}; once for each dataset")

    return say
