"""Launching a study from a page: the numbers of its plan, warnings, and the launch itself."""

import time
from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import words
from app.new_study import form
from app.state import live
from data.datasets.source import Progress
from engine.errors import UserError
from engine.study.checks import Finding
from engine.study.spec import Study, to_toml
from tasks.studies import launch
from tasks.studies.planning import PlanPreview

# Two clicks on Launch within these seconds launch one study.
DOUBLE_CLICK = 5.0

_KINDS = {"pretrain": "dense", "retrain": "pruned", "admm": "ADMM"}


def plan_numbers(preview: PlanPreview, key: str = "plan_numbers") -> None:
    """Show how many trainings a plan has, how many are reused, how long the rest takes, and what rounds remove."""
    with st.container(horizontal=True, gap="large", key=key):
        st.metric("Trainings", f"{preview.trainings:,}", width="content")
        st.metric(
            "Reused",
            f"{preview.reused:,}",
            width="content",
            help="Trained before, for this or another study. Equal trainings are never repeated.",
        )
        st.metric(
            "About",
            words.duration(preview.estimated_seconds) if preview.remaining else "0 s",
            width="content",
            help="Estimated from measured speeds, or from the operations of the networks if none are measured yet.",
        )
    kinds = [f"{count:,} {_KINDS.get(kind, kind)}" for kind, count in preview.by_kind.items()]
    st.caption(f"{words.listing(kinds)} · on {words.plural(preview.workers, 'worker')}")
    for sentence in preview.plan.rounds:
        st.caption(f"Iterative pruning: {words.plain(sentence)}")


def warnings(findings: Sequence[Finding]) -> None:
    """Show findings that the author should read before launching a study, which they do not prevent."""
    if not findings:
        return
    with st.container(key="design_warnings", gap="xsmall"):
        title = f"{words.plural(len(findings), 'thing')} to know before launching"
        st.markdown(f":orange[:material/warning: **{title}**]")
        for finding in findings:
            label = form.LABELS.get(finding.field, finding.field)
            st.markdown(f"- :small[**{words.plain(label)}**: {words.plain(finding.text)}]")


def start(study: Study) -> None:
    """Launch a study and go to its page, or show why that failed."""
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
    """Return a function that shows at a place which images are being copied, since that may take minutes."""

    def say(what: str, done: int, total: int) -> None:
        del done
        size = f" ({words.size(total)})" if total else ""
        place.caption(f"{words.plain(what)}{size}; once for each dataset")

    return say
