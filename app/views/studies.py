"""Studies: every study with its state, its progress, what it compares and answers, and when it was launched."""

import streamlit as st

from app.auth import access
from app.components import chart, dialogs
from app.state import address, audience, queries
from app.studies import bring, filters, listing, trash
from app.study import delete
from data.settings import settings


def empty() -> None:
    """Say what to do while there is no study."""
    with st.container(border=True, key="empty", horizontal_alignment="center"):
        st.header("No study yet", anchor=False, text_alignment="center")
        st.markdown(
            "Begin with the demo: real handwritten digits, two learning rates, four starts under the same mask. "
            "It trains on this machine within two minutes and draws every chart.",
            text_alignment="center",
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button("Start with the demo", type="primary", icon=":material/play_arrow:", key="to_demo"):
                st.switch_page("views/new_study.py", query_params={"preset": "demo"})
            if st.button("Pick a figure of the paper", key="to_paper"):
                st.switch_page("views/paper.py")
            if st.button("Set up a study of your own", key="to_new"):
                st.switch_page("views/new_study.py")
        if not queries.exists():
            st.caption(
                f"Nothing is recorded at {settings().database} yet. Studies appear once the recorder runs: start it "
                "with `make up` or `ticketscope recorder`.",
                text_alignment="center",
            )


@st.fragment(run_every=listing.BUSY)
@audience.database_errors()
def nothing_yet() -> None:
    """Say what to do until a study is recorded."""
    if queries.exists() and not listing.studies().empty:
        st.rerun()
    empty()


def page() -> None:
    """Draw the page."""
    chart.still()
    address.arrive("studies")
    delete.show_message()
    bring.show_message()
    trashed = len(queries.trash()) if queries.exists() else 0
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.title("Studies", anchor=False, width="content")
        in_trash = _in_trash(trashed)
        with st.container(horizontal=True, width="content"):
            bring.button()
            if st.button("New study", type="primary", icon=":material/add:", key="new_study"):
                st.switch_page("views/new_study.py")
    if in_trash:
        every = None if dialogs.is_open() else listing.IDLE
        st.fragment(trash.listing, run_every=every)(every)
        address.save()
        return
    listed = listing.studies() if queries.exists() else None
    if listed is None or listed.empty:
        address.save()
        if dialogs.is_open():
            empty()
        else:
            nothing_yet()
        return
    chosen, every = filters.choose(listed), listing.pace(listed)
    st.fragment(listing.body, run_every=every)(chosen, every)


def _in_trash(trashed: int) -> bool:
    """Let the reader choose between the studies and the Trash, where there is one, and return whether it is shown."""
    if not trashed and st.session_state.get("show") != "trash" and st.query_params.get("show") != "trash":
        address.drop("show")
        return False
    titles = {"studies": "Studies", "trash": f"Trash ({trashed})"}
    return chart.choice("Show", titles, "show", label_visibility="collapsed") == "trash"


access.require_owner()
page()
