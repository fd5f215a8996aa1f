"""Deleting studies: a dialog that says what becomes of them, and a message on the list that can bring them back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from app import words
from app.components import dialogs
from app.state import audience, live, queries
from data.artifacts.store import ArtifactError
from data.queries.studies import StudyRecord
from data.settings import settings
from engine.errors import UserError
from tasks.studies import delete
from tasks.studies.rebuild import settle

_MESSAGE = "studies_deleted_message"
# Seconds for which the message is shown.
SHOWN = 60.0
LABEL, ICON = ":red[Delete]", ":material/delete:"


@dataclass(frozen=True)
class _Message:
    """What was deleted; study_ids: those that the Trash can bring back."""

    text: str
    study_ids: tuple[str, ...]
    at: float


def button(record: StudyRecord) -> None:
    """Show the button that opens the dialog."""
    if dialogs.button(LABEL, f"delete {record.study_id}", ("delete_for_good",), icon=ICON, key="delete"):
        confirm({record.study_id: record.study.name})


def show_message() -> None:
    """Say for a while which studies were just deleted, beside a button that undoes it."""
    message: _Message | None = st.session_state.get(_MESSAGE)
    if message is None or time.monotonic() - message.at > SHOWN:
        st.session_state.pop(_MESSAGE, None)
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True, key="deleted_message", gap="small"):
        # The buttons follow the text, since notices cover the right end.
        st.markdown(f":material/delete: {message.text}", width="content")
        if message.study_ids:
            st.button("Undo", icon=":material/undo:", key="undo", on_click=audience.attempt, args=(_undo, message))
        st.button("Dismiss", type="tertiary", key="dismiss", on_click=st.session_state.pop, args=(_MESSAGE, None))


def _undo(message: _Message) -> None:
    restore(message.study_ids)
    st.session_state.pop(_MESSAGE, None)


def restore(study_ids: Sequence[str]) -> None:
    """Bring studies back from the Trash."""
    for study_id in study_ids:
        delete.restore(settings(), study_id)
        live.expect_return(study_id)
    written()


def written() -> None:
    """Let pages show at once what was just changed."""
    settle(settings())
    queries.look_again()
    audience.forget_links()


def confirm(names: dict[str, str], for_good: bool = False) -> None:
    """Open the dialog that deletes studies; names: by id. for_good: whether they are in the Trash."""
    title = "Delete this study?" if len(names) == 1 else f"Delete {len(names)} studies?"
    st.dialog(title, on_dismiss=dialogs.close)(_confirm)(names, for_good)


def _confirm(names: dict[str, str], for_good: bool) -> None:
    """Say what becomes of the studies, and delete them when the reader confirms."""
    shown = words.listing([f"**{words.plain(name)}**" for name in list(names.values())[:5]])
    st.markdown(shown + (f" and {len(names) - 5} more" if len(names) > 5 else ""))
    now = for_good or st.checkbox("Delete for good, not to the Trash", key="delete_for_good")
    try:
        with st.spinner("Counting what it would remove…"):
            preview = delete.preview(settings(), tuple(names), count_files=now)
            lines = delete.sentences(preview, now)
    except UserError as error:
        st.error(audience.in_words(error))
        return
    if now:
        st.markdown("This cannot be undone; only another launch brings the results back.")
    st.markdown("\n".join(f"- {line}" for line in lines))
    with st.container(horizontal=True):
        if dialogs.destructive("Delete for good" if now else "Move to the Trash", "delete_yes"):
            _delete(names, now)
        dialogs.no("Keep it" if len(names) == 1 else "Keep them", "delete_no")


def _delete(names: dict[str, str], now: bool) -> None:
    action: Callable[[str], object] = _for_good if now else _to_trash
    done, problems = attempt_all(names, action)
    if not done:
        st.error("\n\n".join(problems))
        return
    dialogs.close()
    for study_id in done:
        live.expect_deletion(study_id)
    written()
    what = f"“{words.plain(names[done[0]])}”" if len(done) == 1 else words.plural(len(done), "study", "studies")
    text = f"Deleted {what} for good." if now else f"Moved {what} to the Trash."
    st.session_state[_MESSAGE] = _Message(" ".join([text, *problems]), () if now else tuple(done), time.monotonic())
    st.switch_page("views/studies.py")


def attempt_all(names: dict[str, str], action: Callable[[str], object]) -> tuple[list[str], list[str]]:
    """Do something to each study; return the ids for which it was done, and for others the reason in Markdown."""
    done, problems = [], []
    with st.spinner("One moment…"):
        for study_id, name in names.items():
            try:
                action(study_id)
            except ArtifactError as error:
                # The study itself is deleted by now.
                done.append(study_id)
                problems.append(f"Some files remain; remove them with `ticketscope reclaim`: {words.plain(str(error))}")
            except UserError as error:
                problems.append(words.plain(f"{name}: ") * (len(names) > 1) + audience.in_words(error))
            else:
                done.append(study_id)
    return done, problems


def _to_trash(study_id: str) -> None:
    delete.trash(settings(), study_id)


def _for_good(study_id: str) -> None:
    delete.delete(settings(), study_id)
