"""The dialog that makes, lists and revokes links to a study or a view."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from app import words
from app.auth import peers
from app.components import dialogs
from app.state import audience, queries
from data import shared_links
from data.queries.studies import StudyRecord
from data.settings import settings
from data.shared_links import LONGEST_NOTE, LONGEST_TITLE, Anonymous, link, table_address
from engine.errors import UserError

ENDS: dict[str, timedelta | None] = {
    "in 1 day": timedelta(days=1),
    "in 7 days": timedelta(days=7),
    "in 30 days": timedelta(days=30),
    "never": None,
}
ANONYMOUS = (
    "**Left out**: people, hosts, workers, folders and their paths, errors in full, the note below. **Still visible**: "
    "{names} unless you give another title; datasets, networks, recipe and all numbers; models of GPUs, versions of "
    "Python and PyTorch; times; ids and fingerprints, which are random or hashes of settings."
)
# The session keeps the new link under this key while the dialog is open.
_NEW_LINK = "share_made"


def share_study(record: StudyRecord) -> None:
    """Show the button that opens the dialog for sharing a study."""
    if dialogs.button("Share", f"share {record.study_id}", [_NEW_LINK], icon=":material/share:", key="share"):
        _dialog((record.study_id,), None, record.study.name)


def share_view(study_ids: tuple[str, ...], state: str) -> None:
    """Show the button that opens the dialog for sharing a view of the Compare page; state: its query string."""
    dialog = f"share {state} of {study_ids}"
    if dialogs.button("Share", dialog, [_NEW_LINK], icon=":material/share:", key="share", disabled=not study_ids):
        _dialog(study_ids, state, f"this view of {words.plural(len(study_ids), 'study', 'studies')}")


@st.dialog("Share", width="medium", on_dismiss=dialogs.close)
@audience.database_errors()
def _dialog(study_ids: tuple[str, ...], state: str | None, name: str) -> None:
    """Make a link, and list the existing ones; name: of the study or view."""
    st.markdown(
        f"Whoever has the link can read **{words.plain(name)}**, live and without an account, but cannot launch or "
        "change anything, or reach anything else."
    )
    # The address shown below is of a link that was made before the choice changed.
    is_anonymous = st.checkbox(
        "Anonymous, for double-blind review",
        key="share_anonymous",
        on_change=st.session_state.pop,
        args=(_NEW_LINK, None),
    )
    if is_anonymous:
        st.caption(ANONYMOUS.format(names="the names of the studies" if state else "the name of the study"))
    with st.form("share_form", border=False):
        anonymous = _anonymous(len(study_ids)) if is_anonymous else None
        about = "who it is for; reviewers do not see it" if is_anonymous else "who it is for"
        note = st.text_input("Note", max_chars=LONGEST_NOTE, key="share_note", placeholder=about)
        ends = st.segmented_control("Ends", list(ENDS), default="in 30 days", required=True, key="share_ends")
        if st.form_submit_button("Create link", type="primary", icon=":material/add_link:", key="share_create"):
            _create(study_ids, state, note, ENDS[ends], anonymous)
    if address := st.session_state.get(_NEW_LINK):
        with st.container(key="share_link"):
            st.code(address, language=None, wrap_lines=True)
            st.caption("Copy it now: it is not shown again, since only a hash of it is saved.")
            if is_anonymous:
                st.caption(
                    f"The address names {words.code(urlsplit(address).netloc)}. If that tells who you are, open the "
                    "link, save its files, such as the report, and hand these in: they are anonymous too."
                )
        with st.container(key="share_code"):
            _show_code(address, len(study_ids))
        _warn_if_local(address)
    listed = shared_links.shares(queries.database(), study_ids[0])
    links(listed[(listed["state"].notna()) == (state is not None)])


def _show_code(address: str, studies: int) -> None:
    """Show how a notebook or a script reads what a link shows."""
    st.caption("In a notebook or a script, with pandas alone, or with Ticketscope for its charts too:")
    lines = [
        "import pandas as pd",
        f'accuracy = pd.read_parquet("{table_address(address, "accuracy")}")',
        "",
        "import ticketscope as ts",
        f'study = ts.open("{address}"{", study=..." if studies > 1 else ""})',
    ]
    st.code("\n".join(lines), language="python", wrap_lines=True)


def _anonymous(studies: int) -> Anonymous:
    """Show the fields of an anonymous link, and return what the owner enters."""
    title = st.text_input(
        "Title for reviewers",
        max_chars=LONGEST_TITLE,
        key="share_title",
        placeholder="in place of the study's name" if studies == 1 else "in place of the studies' names, with a number",
    )
    label = "Show the study's note" if studies == 1 else "Show the studies' notes"
    return Anonymous(title, st.checkbox(label, key="share_with_notes"))


def _create(
    study_ids: tuple[str, ...], state: str | None, note: str, ends: timedelta | None, anonymous: Anonymous | None
) -> None:
    until = None if ends is None else datetime.now(UTC) + ends
    try:
        _, token = shared_links.create(queries.database(), study_ids, state, note, until, anonymous)
    except UserError as error:
        st.error(audience.in_words(error))
        return
    st.session_state[_NEW_LINK] = link(_base(), token)


def _base() -> str | None:
    """Return the address that the link begins with: the configured one, or that of this page."""
    if settings().url:
        return settings().url
    parts = urlsplit(st.context.url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else None


def _warn_if_local(address: str) -> None:
    if peers.is_loopback(urlsplit(address).hostname):
        st.warning(
            "This link works on this machine only. To let others in, start with `--host` and a password, or put a "
            "proxy in front, and set `TICKETSCOPE_URL` to the address that they reach.",
            icon=":material/router:",
        )


def links(listed: pd.DataFrame, names: dict[str, str] | None = None) -> None:
    """List links, each with a button that revokes it; names: of studies by id, where links of several are listed."""
    if listed.empty:
        st.caption("No link yet.")
        return
    for row in listed.to_dict("records"):
        with st.container(
            horizontal=True, vertical_alignment="center", border=True, key=f"link-{row['share_id']}", gap="small"
        ):
            st.markdown(_described(row, names), width="stretch")
            if row["works"]:
                st.button(
                    "Revoke",
                    icon=":material/link_off:",
                    key=f"revoke-{row['share_id']}",
                    on_click=audience.attempt,
                    args=(_revoke, str(row["share_id"])),
                )


def _revoke(share_id: str) -> None:
    shared_links.revoke(queries.database(), share_id)
    audience.forget_links()


def _described(row: dict[str, object], names: dict[str, str] | None) -> str:
    """Return a link in words: its content, note and state, and the times of its creation, end and last use."""
    state = ":green-badge[works]" if row["works"] else ":gray-badge[revoked]" if _at(row["revoked_at"]) else ""
    state = state or f":gray-badge[{'in the Trash' if row['trashed'] else 'expired'}]"
    if row["anonymous"]:
        state += " :violet-badge[anonymous]"
    studies = [names.get(study_id, study_id) for study_id in row["study_ids"]] if names is not None else []  # type: ignore[attr-defined]
    kind = "view of " if _at(row["state"]) else ""
    content = f"{kind}{words.listing([str(name) for name in studies])}" if studies else ""
    head = " · ".join(words.plain(str(part)) for part in (content, row["note"]) if part) or f"link {row['share_id']}"
    ends = _at(row["expires_at"])
    used = _at(row["last_used_at"])
    times = [
        *([f"shown as “{words.plain(str(row['title']))}”"] if row["title"] else []),
        *(["with notes"] if row["anonymous"] and row["with_notes"] else []),
        f"made {words.ago(_at(row['created_at']))}",
        f"ends {ends:%d %B %Y, %H:%M} UTC" if ends else "never ends",
        f"last used {words.ago(used)}" if used else "not used yet",
    ]
    return f"**{head}** {state}  \n:gray[:small[{' · '.join(times)}]]"


def _at(value: object) -> datetime | None:
    # A missing time is NaT and a missing text None or NaN; NaT and NaN do not equal themselves.
    return value if value is not None and value == value else None  # type: ignore[return-value]
