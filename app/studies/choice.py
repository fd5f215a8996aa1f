"""Choosing several studies of the list, and what can be done with them: compare, cancel, tag and delete."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app import words
from app.components import dialogs
from app.state.queries import FINISHED
from app.studies import edit
from app.study import delete
from tasks.studies import launch
from tasks.studies.describe import describe

_KEY = "choose-"
_DONE = "studies_done_message"


def checkbox(study: Mapping[str, Any]) -> None:
    """Show the box that chooses a study."""
    name = words.plain(study["name"])
    st.checkbox(f"Choose {name}", key=f"{_KEY}{study['study_id']}", label_visibility="collapsed", width="content")


def chosen(studies: pd.DataFrame) -> pd.DataFrame:
    """Return those of the shown studies that are chosen."""
    return studies[[bool(st.session_state.get(f"{_KEY}{study_id}")) for study_id in studies["study_id"]]]


def _choose(study_ids: list[str], value: bool) -> None:
    for study_id in study_ids:
        st.session_state[f"{_KEY}{study_id}"] = value


def bar(shown: pd.DataFrame) -> None:
    """Show what can be done with the chosen ones of the shown studies, if any is chosen."""
    if message := st.session_state.pop(_DONE, None):
        st.toast(message)
    studies = chosen(shown)
    if studies.empty:
        return
    names: dict[str, str] = dict(studies[["study_id", "name"]].itertuples(index=False))
    unfinished = studies[~studies["state"].isin(FINISHED)]
    with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small", key="studies_bar"):
        st.markdown(f"**{words.plural(len(names), 'study', 'studies')}** chosen", width="content")
        if st.button("Compare", icon=":material/compare_arrows:", key="bar_compare"):
            st.switch_page("views/compare.py", query_params={"new": "~".join(names)})
        if dialogs.button("Tag", "tag chosen", ("bar_add", "bar_remove"), icon=":material/sell:", key="bar_tag"):
            _tag(studies)
        if len(unfinished) and dialogs.button("Cancel", "cancel chosen", icon=":material/cancel:", key="bar_cancel"):
            _cancel(dict(unfinished[["study_id", "name"]].itertuples(index=False)))
        if dialogs.button(delete.LABEL, "delete chosen", ("delete_for_good",), icon=delete.ICON, key="bar_delete"):
            delete.confirm(names)
        rest = [study_id for study_id in shown["study_id"] if study_id not in names]
        if rest:
            label = f"Choose all {len(shown)}"
            st.button(label, type="tertiary", key="bar_all", on_click=_choose, args=(rest, True))
        st.button("Choose none", type="tertiary", key="bar_none", on_click=_choose, args=(list(names), False))


@st.dialog("Tag", on_dismiss=dialogs.close)
def _tag(studies: pd.DataFrame) -> None:
    """Ask which tags the chosen studies get and lose."""
    names: dict[str, str] = dict(studies[["study_id", "name"]].itertuples(index=False))
    st.markdown(f"For {words.plural(len(names), 'chosen study', 'chosen studies')}:")
    add = edit.tag_input("Add", [], "bar_add")
    present = sorted({tag for tags in studies["tags"] for tag in tags})
    remove = st.multiselect("Remove", present, key="bar_remove") if present else []
    with st.container(horizontal=True):
        if st.button("Save", type="primary", key="tag_yes", disabled=not (add or remove)):
            _finish(names, lambda study_id: describe(study_id, add=add, remove=remove), "Tagged")
        dialogs.no("Leave them as they are", "tag_no")


@st.dialog("Cancel studies?", on_dismiss=dialogs.close)
def _cancel(names: dict[str, str]) -> None:
    """Ask before studies are cancelled."""
    st.markdown(
        f"{words.plural(len(names), 'chosen study', 'chosen studies')} can still train. Stages that no other study "
        "needs stop; one in training stops after its epoch. What is done stays done, and Retry resumes a study."
    )
    with st.container(horizontal=True):
        if dialogs.destructive("Cancel them" if len(names) > 1 else "Cancel it", "cancel_yes"):
            _finish(names, launch.cancel, "Cancelled")
        dialogs.no("Keep them running" if len(names) > 1 else "Keep it running", "cancel_no")


def _finish(names: dict[str, str], action: Any, verb: str) -> None:
    """Do something to each study, close the dialog, and say in a sentence what was done and what was not."""
    done, problems = delete.attempt_all(names, action)
    if not done:
        st.error("\n\n".join(problems))
        return
    delete.written()
    dialogs.close()
    st.session_state[_DONE] = " ".join([f"{verb} {words.plural(len(done), 'study', 'studies')}.", *problems])
    st.rerun()
