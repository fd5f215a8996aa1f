"""The tour: four notes with which the demo explains itself on its Overview, until the reader closes them."""

from functools import cache

import streamlit as st

from app.guide.prose import prose
from app.state import audience, script
from engine.study.spec import Study
from tasks.studies import catalog

# The cookie by which a browser knows that its reader closed the notes.
COOKIE = "ticketscope_tour"
_CLOSED = "tour_closed"
_REMEMBER = f"document.cookie = '{COOKIE}=closed; path=/; max-age=31536000; samesite=strict';"

NOTES = {
    "What a ticket is": "A pruned network that is trained again from its initial weights, under the mask of the "
    "trained network. It is a winning ticket if it beats a random reinit under the same mask: then its weights count, "
    "not its mask alone.",
    "What the gap says": "The accuracy of the winning ticket minus that of random reinit, in points. Where its "
    "interval is above 0, the ticket wins beyond what the seeds explain. Compare the two learning rates: the paper "
    "finds a gap at the low one only.",
    "What R_p says": "The overlap ratio: which part of the largest weights after training were among the largest "
    "before. Chance gives p, no more. Near 1, training has hardly changed which weights matter, and the ticket begins "
    "where the training ended.",
    "What to try next": "Take this study with a learning rate in between and see where the gap goes, add seeds until "
    "the intervals decide, or pick a figure of the paper and run it here.",
}


def show(study: Study, study_id: str) -> None:
    """Show the notes above the Overview of a study if it is the demo, whose reader owns it and has not closed them."""
    closed = _CLOSED in st.session_state or COOKIE in st.context.cookies
    if audience.is_viewer() or not _is_demo(study):
        return
    if _CLOSED in st.session_state:
        script.run("tour", _REMEMBER)
    if closed:
        return
    with st.container(border=True, key="tour"):
        for column, (title, text) in zip(st.columns(len(NOTES), gap="medium"), NOTES.items(), strict=True):
            with column:
                st.markdown(f"**{title.replace('R_p', '$R_p$')}**  \n{prose(text)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("New study from this one", icon=":material/content_copy:", key="tour_copy"):
                st.switch_page("views/new_study.py", query_params={"copy": study_id})
            if st.button("Figures of the paper", icon=":material/menu_book:", key="tour_paper"):
                st.switch_page("views/paper.py")
            st.button("Close these notes", type="tertiary", key="tour_close", on_click=_close)


def _close() -> None:
    st.session_state[_CLOSED] = True


def _is_demo(study: Study) -> bool:
    """Return whether a study is the demo, under any name and note."""
    unnamed = {"name": "", "note": ""}
    return study.model_copy(update=unnamed) == _demo().model_copy(update=unnamed)


@cache
def _demo() -> Study:
    return catalog.read("demo")
