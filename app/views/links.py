"""Links: every shared link with its last use, to search and to revoke."""

import streamlit as st

from app import words
from app.auth import access
from app.components import share_dialog
from app.state import audience, queries
from data import shared_links

# Seconds between two refreshes: another tab or the command line may make or revoke a link.
REFRESH = 10.0


@st.fragment(run_every=REFRESH)
@audience.database_errors()
def listing() -> None:
    """List the links that match the search."""
    if not access.is_owner():
        st.rerun()
    if not queries.exists() or (shares := shared_links.shares(queries.database())).empty:
        st.info("Nothing is shared yet. Share a study or a view of the Compare page, and its link is listed here.")
        return
    names = dict(queries.studies()[["study_id", "name"]].itertuples(index=False))
    query = st.text_input(
        "Search links", type="search", key="links_search", placeholder="Search", label_visibility="collapsed"
    )
    text = [
        f"{row.note} {row.title} {'anonymous' * row.anonymous} {row.share_id} "
        + " ".join(names.get(study_id, study_id) for study_id in row.study_ids)
        for row in shares.itertuples()
    ]
    matches = shares[[words.matches(query or "", line) for line in text]]
    if matches.empty:
        st.info(
            f"No link matches “{words.plain(query)}”. Search looks at notes, titles, ids and the "
            "names of studies; “anonymous” finds anonymous links."
        )
        return
    share_dialog.links(matches, names)


access.require_owner()
st.title("Shared links", anchor=False)
listing()
