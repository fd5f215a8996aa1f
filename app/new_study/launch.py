"""Launching a study from a page: the numbers of its plan, warnings, and the launch itself."""

import time
from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import words
from app.new_study import form
from app.new_study.folder_check import require_sound
from app.state import live
from data.datasets.source import Progress
from engine.errors import UserError
from engine.study.checks import Finding
from engine.study.spec import Study, to_toml
from tasks.queue.equal import WITHIN, LaunchedBefore
from tasks.studies import launch
from tasks.studies.planning import PlanPreview

# Of two clicks on Launch within these seconds, the second opens what the first launched.
DOUBLE_CLICK = 5.0
# Session keys: the last study that this visitor launched, and the one that an equal study was launched before.
_LAST, _BEFORE = "launch_last", "launch_before"
# Session key: the study that takes long and waits for an answer.
_LONG = "launch_long_study"

_KINDS = {"pretrain": "dense", "retrain": "pruned", "admm": "ADMM"}


def plan_numbers(preview: PlanPreview, key: str = "plan_numbers") -> None:
    """Show how many trainings a plan has, how many are reused, how long the rest takes, and what rounds remove."""
    with st.container(horizontal=True, gap="large", key=key):
        st.metric("Trainings", f"{preview.trainings:,}", width="content")
        st.metric("Reused", f"{preview.reused:,}", width="content")
        st.metric("About", _time(preview), width="content")
    kinds = [f"{count:,} {_KINDS.get(kind, kind)}" for kind, count in preview.by_kind.items()]
    st.caption(
        f"{words.listing(kinds)} · on {words.plural(preview.workers, 'worker')}. Reused are trainings that were done "
        "before, for this or another study. The time is estimated from measured speeds."
    )
    if preview.unchecked:
        st.caption("Launching it checks that every image of the folder can be trained on.")
    for sentence in preview.plan.rounds:
        st.caption(f"Iterative pruning: {words.plain(sentence)}")


def outcome(preview: PlanPreview) -> str:
    """Return in Markdown what a launch would do, in a line."""
    reused = f"{preview.reused:,} reused" if preview.reused else "none reused"
    return (
        f"**{words.plural(preview.trainings, 'training')}** · about {_time(preview)} on "
        f"{words.plural(preview.workers, 'worker')} · {reused}"
    )


def _time(preview: PlanPreview) -> str:
    return words.duration(preview.estimated_seconds) if preview.remaining else "0 s"


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


def request(study: Study, plan: PlanPreview) -> None:
    """Launch a study as `start` does or, if it takes long, let `questions` ask first."""
    if plan.is_long:
        st.session_state[_LONG] = to_toml(study)
    else:
        start(study)


def questions(study: Study, plan: PlanPreview) -> None:
    """Ask below the button what `request` and `start` left open for this study."""
    if st.session_state.get(_LONG) == to_toml(study):
        costs = plan.costs(live.zone())
        if long_question(costs, "launch_long", "Launch it", "Do not launch", ":material/rocket_launch:", _forget_long):
            start(study)
    ask_again(study)


def long_question(costs: str, key: str, yes: str, no: str, icon: str, forget: Callable[[], None]) -> bool:
    """Ask whether to begin what takes long, and return whether the answer is yes; forget: called with either answer."""
    with st.container(border=True, key=key, gap="small"):
        st.markdown(f"**This takes long**: {words.plain(costs)}")
        with st.container(horizontal=True):
            begin = st.button(yes, type="primary", icon=icon, key=f"{key}_yes")
            st.button(no, key=f"{key}_no", on_click=forget)
    if begin:
        # Forgotten before, the question would not be drawn, and its answer would be lost.
        forget()
    return begin


def _forget_long() -> None:
    st.session_state.pop(_LONG, None)


def start(study: Study, again: bool = False) -> None:
    """Launch a study and go to its page, or show why that failed; `ask_again` asks if an equal one was just launched.

    again: launch it also in that case.
    """
    st.session_state.pop(_BEFORE, None)
    try:
        require_sound(study.datasets)
        with st.spinner("Queueing…"):
            study_id = launch.launch(study, _copying(st.empty()), again)
    except LaunchedBefore as before:
        if before.study_id != st.session_state.get(_LAST) or before.seconds > DOUBLE_CLICK:
            st.session_state[_BEFORE] = to_toml(study), before, time.monotonic()
            return
        study_id = before.study_id
    except UserError as error:
        st.error(words.lines(str(error)))
        return
    st.session_state[_LAST] = study_id
    _open(study_id)


def ask_again(study: Study) -> None:
    """Ask what to do if `start` found that a study equal to this one was just launched, by whomever."""
    toml, before, since = st.session_state.get(_BEFORE, (None, None, 0.0))
    if toml != to_toml(study) or (seconds := before.seconds + time.monotonic() - since) > WITHIN:
        return
    with st.container(border=True, key="launched_before", gap="small"):
        ago = words.plural(max(1, round(seconds)), "second")
        st.markdown(f"**An equal study was launched {ago} ago**, in another tab or from the command line.")
        with st.container(horizontal=True):
            if st.button("Open it", type="primary", icon=":material/open_in_new:", key="launched_before_open"):
                st.session_state.pop(_BEFORE)
                _open(before.study_id)
            if st.button("Launch another", key="launched_before_again"):
                start(study, again=True)


def _open(study_id: str) -> None:
    live.expect_change(study_id)
    st.switch_page("views/study.py", query_params={"study": study_id})


def _copying(place: DeltaGenerator) -> Progress:
    """Return a function that shows at a place which images are being copied, since that may take minutes."""

    def say(what: str, done: int, total: int) -> None:
        del done
        size = f" ({words.size(total)})" if total else ""
        place.caption(f"{words.plain(what)}{size}; once for each dataset")

    return say
