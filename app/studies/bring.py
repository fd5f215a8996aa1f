"""Importing studies on the page *Studies*: a dialog that takes bundles, and a message on what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import streamlit as st

from app import words
from app.components import dialogs
from app.state import audience
from app.study import delete
from data.settings import settings
from engine.errors import UserError
from tasks.bundles import words as sentences
from tasks.bundles.importing import import_bundle
from tasks.bundles.joining import join

# Megabytes of a bundle that the page takes, as in .streamlit/config.toml; the command takes larger ones.
MOST = 32
_FILES, _JOIN, _MESSAGE = "import_files", "import_join", "studies_imported_message"


class Upload(Protocol):
    """A file that the reader has chosen."""

    name: str

    def getvalue(self) -> bytes: ...


@dataclass(frozen=True)
class _Message:
    """What was imported: sentences, problems in Markdown, and the ids of the studies with their names."""

    lines: tuple[str, ...]
    problems: tuple[str, ...]
    studies: dict[str, str]


def button() -> None:
    """Show the button that opens the dialog."""
    if dialogs.button("Import", "import", (_FILES, _JOIN), icon=":material/upload_file:", key="import"):
        _choose()


def show_message() -> None:
    """Say what was just imported, until the reader dismisses it."""
    message: _Message | None = st.session_state.get(_MESSAGE)
    if message is None:
        return
    with st.container(border=True, key="imported_message", gap="small"):
        for line in message.lines:
            st.markdown(words.plain(line))
        for problem in message.problems:
            st.error(problem)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            for study_id, name in message.studies.items():
                label = f"Open {words.plain(name)}"
                st.page_link("views/study.py", label=label, query_params={"study": study_id})
            st.button(
                "Dismiss", type="tertiary", key="import_dismiss", on_click=st.session_state.pop, args=(_MESSAGE, None)
            )


@st.dialog("Import studies", on_dismiss=dialogs.close)
def _choose() -> None:
    """Ask for bundles, and import them."""
    st.markdown(
        "A bundle holds a study with its results. Another installation wrote it, by *Export*, *Bundle (zip)* on the "
        "study's page, or by `ticketscope export STUDY_ID --bundle FILE`. The study opens here as it is; nothing is "
        "trained."
    )
    files = st.file_uploader("Bundles", type="zip", accept_multiple_files=True, key=_FILES, max_upload_size=MOST)
    st.caption(f"At most {MOST} MB each; `ticketscope import FILE` takes larger ones.")
    together = len(files) > 1 and st.checkbox(
        "Join them into one study with the seeds of all", key=_JOIN, help="They must be equal in all but their seeds."
    )
    with st.container(horizontal=True):
        if st.button("Import", type="primary", key="import_yes", disabled=not files):
            with st.spinner("Importing…"):
                message = take(files, together)
            if not message.studies:
                st.error("\n\n".join(message.problems))
                return
            st.session_state[_MESSAGE] = message
            dialogs.close()
            delete.written()
            st.rerun()
        dialogs.no("Close", "import_no")


def take(files: Sequence[Upload], together: bool) -> _Message:
    """Import bundles, and join their studies if `together` and all were imported."""
    lines: list[str] = []
    problems: list[str] = []
    studies: dict[str, str] = {}
    for file in files:
        try:
            done = import_bundle(settings(), BytesIO(file.getvalue()), file.name)
        except UserError as error:
            problems.append(audience.in_words(error))
            continue
        lines += [_sentence(line) for line in sentences.imported(done)]
        studies[done.study_id] = done.name
    if together and not problems:
        try:
            joined = join(settings(), list(studies))
        except UserError as error:
            problems.append(audience.in_words(error))
        else:
            lines.append(_sentence(sentences.joined(joined)))
            studies[joined.study_id] = joined.name
    return _Message(tuple(lines), tuple(problems), studies)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
