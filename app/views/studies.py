"""Studies: every study with its state, its progress, what it compares, and when it was launched."""

import pandas as pd
import streamlit as st

from app import words
from app.auth import access
from app.components import chart
from app.state import audience, live, queries
from app.study import delete
from data.settings import settings

PER_PAGE = 20
# Seconds between two refreshes, while a study is unfinished and while none is: the command line may launch one.
BUSY, IDLE = 2.0, 10.0


def counts(row: pd.Series) -> str:
    """Return the numbers of stages that are done, running, failed and reused, in words."""
    parts = [f"{row['done']:,} of {words.plural(int(row['stages']), 'stage')} done"]
    parts += [f"{row[state]:,} {state}" for state in ("running", "failed") if row[state]]
    if row["reused"]:
        parts.append(f"{row['reused']:,} reused")
    return " · ".join(parts)


def card(row: pd.Series) -> None:
    """Show a study; row: as in `queries.studies`."""
    with st.container(border=True, key=f"card-{row['study_id']}", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.page_link(
                "views/study.py", label=f"**{words.plain(row['name'])}**", query_params={"study": row["study_id"]}
            )
            st.markdown(words.badge(row["state"]), width="content")
        st.caption(words.plain(words.compares(row)))
        st.progress(float(row["done"]) / max(1, int(row["stages"])))
        began = f"launched {words.ago(row['created_at'])}"
        took = ""
        if row["state"] == "done":
            took = f" · took {words.duration((row['finished_at'] - row['created_at']).total_seconds())}"
        st.caption(f"{counts(row)} · {began}{took}")


def empty() -> None:
    """Say what to do while there is no study."""
    with st.container(border=True, key="empty", horizontal_alignment="center"):
        st.subheader("No study yet", anchor=False, text_alignment="center")
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


@audience.database_errors()
def listing(query: str, every: float) -> None:
    """Show the studies that match a query; every: seconds between two refreshes."""
    studies = _studies()
    if pace(studies) != every:
        st.rerun()
    matches = studies[[words.matches(query, _text(row)) for _, row in studies.iterrows()]]
    if matches.empty:
        st.info(
            f"No study matches “{words.plain(query)}”. Search looks at names, notes, states and what a study compares."
        )
        return
    limit = st.session_state.get("studies_shown", PER_PAGE)
    for _, row in matches.head(limit).iterrows():
        card(row)
    if len(matches) > limit:
        st.button(f"Show {min(PER_PAGE, len(matches) - limit)} more", key="more", on_click=_show_more, args=(limit,))


def _show_more(limit: int) -> None:
    st.session_state["studies_shown"] = limit + PER_PAGE


def pace(studies: pd.DataFrame) -> float:
    """Return the seconds between two refreshes: BUSY while a study is unfinished, else IDLE."""
    return BUSY if (~studies["state"].isin(queries.FINISHED)).any() else IDLE


@st.fragment(run_every=BUSY)
@audience.database_errors()
def nothing_yet() -> None:
    """Say what to do until a study is recorded."""
    if _any():
        st.rerun()
    empty()


def _studies() -> pd.DataFrame:
    """Return all studies except those that this visitor just deleted, which the database may still have."""
    studies = queries.studies()
    return studies[~studies["study_id"].isin(live.deleted())]


def _any() -> bool:
    return queries.exists() and not _studies().empty


def _text(row: pd.Series) -> str:
    names = " ".join([*row["datasets"], *row["networks"]])
    return f"{row['name']} {row['note']} {row['state']} {words.compares(row)} {names}"


def page() -> None:
    """Draw the page."""
    chart.still()
    delete.show_message()
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.title("Studies", anchor=False, width="content")
        if st.button("New study", type="primary", icon=":material/add:", key="new_study"):
            st.switch_page("views/new_study.py")
    if not _any():
        nothing_yet()
        return
    query = st.text_input(
        "Search studies", type="search", key="search", placeholder="Search", label_visibility="collapsed"
    )
    every = pace(_studies())
    st.fragment(listing, run_every=every)(query, every)


access.require_owner()
page()
