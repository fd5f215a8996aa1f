"""Changing the name, note and tags of a study in place."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.state import audience, queries
from app.study.delete import written
from data.database.events import NOTE_CHARACTERS, TAGS
from engine.errors import UserError
from tasks.studies.describe import NAME_CHARACTERS, describe

_OPEN = "studies_edited"


def is_open(study_id: str) -> bool:
    """Return whether a study is being changed."""
    return bool(st.session_state.get(_OPEN) == study_id)


def any_open() -> bool:
    """Return whether any study is being changed, so that the list must not be drawn anew."""
    return _OPEN in st.session_state


def button(study_id: str) -> None:
    """Show the button that lets the reader change a study."""
    st.button(
        ":small[Edit]",
        icon=":material/edit:",
        type="tertiary",
        key=f"edit-{study_id}",
        on_click=_open,
        args=(study_id,),
    )


def _open(study_id: str) -> None:
    st.session_state[_OPEN] = study_id


def close() -> None:
    """Leave a study as it is."""
    st.session_state.pop(_OPEN, None)


def form(study: Mapping[str, Any]) -> None:
    """Show the fields of a study in place of its row."""
    study_id = study["study_id"]
    with st.form(f"edit_form-{study_id}", border=False, enter_to_submit=True):
        name = st.text_input("Name", study["name"], max_chars=NAME_CHARACTERS, key="edit_name")
        tags = tag_input("Tags", study["tags"])
        note = st.text_area("Note", study["note"], max_chars=NOTE_CHARACTERS, height=80, key="edit_note")
        with st.container(horizontal=True):
            saved = st.form_submit_button("Save", type="primary", key="edit_save")
            st.form_submit_button("Cancel", key="edit_cancel", on_click=close)
    if not saved:
        return
    changes = {
        **({"name": name} if name != study["name"] else {}),
        **({"note": note} if note != study["note"] else {}),
    }
    try:
        add, remove = set(tags) - set(study["tags"]), set(study["tags"]) - set(tags)
        describe(study_id, **changes, add=sorted(add), remove=sorted(remove))
        written()
    except UserError as error:
        st.error(audience.in_words(error))
        return
    close()
    st.rerun()


def tag_input(label: str, tags: list[str], key: str = "edit_tags") -> list[str]:
    """Show a field of tags, which offers those of all studies and takes new ones, and return what it has."""
    known = {tag for others in queries.studies()["tags"] for tag in others}
    return st.multiselect(
        label,
        sorted({*known, *tags}),
        tags,
        accept_new_options=True,
        max_selections=TAGS,
        placeholder="Choose tags, or type new ones",
        key=key,
    )
