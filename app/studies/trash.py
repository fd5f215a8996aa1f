"""The Trash: the deleted studies that can still be brought back."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from app import words
from app.components import dialogs
from app.state import audience, queries
from app.studies.row import counts
from app.study import delete
from tasks.studies.delete import PERIOD

_ICON = ":material/delete_forever:"


@audience.database_errors()
def listing(every: float | None) -> None:
    """List the studies in the Trash, the one deleted last first; every: seconds between two refreshes."""
    if (every is None) != dialogs.is_open():
        st.rerun()
    studies = queries.trash()
    if studies.empty:
        st.info(
            f"The Trash is empty. A deleted study stays here for {PERIOD.days} days, unless it is deleted for good."
        )
        return
    st.caption(
        f"Studies stay here for {PERIOD.days} days; then they are deleted for good, with the weights and results that "
        "no other study has. Lists, links, comparisons and the paper's figures do not show them meanwhile."
    )
    names: dict[str, str] = dict(studies[["study_id", "name"]].itertuples(index=False))
    if dialogs.button(":red[Empty the Trash]", "empty trash", icon=_ICON, key="trash_empty"):
        delete.confirm(names, for_good=True)
    for row in studies.to_dict("records"):
        _row(row)


def _row(study: Mapping[str, Any]) -> None:
    study_id, name = study["study_id"], study["name"]
    with st.container(horizontal=True, vertical_alignment="center", border=True, key=f"trash-{study_id}", gap="small"):
        at = study["trashed_at"]
        ends = f"deleted {words.ago(at)} · for good {_left(at)}"
        st.markdown(
            f"**{words.plain(name)}**  \n:gray[:small[{words.plain(words.compares(study))}]]  \n"
            f":gray[:small[{counts(study)} · {ends}]]",
            width="stretch",
        )
        st.button(
            "Bring back",
            icon=":material/restore_from_trash:",
            key=f"restore-{study_id}",
            on_click=audience.attempt,
            args=(_restore, study_id),
        )
        about = f"delete {study_id} for good"
        if dialogs.button(
            ":red[Delete for good]", about, icon=_ICON, type="tertiary", key=f"delete_for_good-{study_id}"
        ):
            delete.confirm({study_id: name}, for_good=True)


def _left(at: datetime) -> str:
    days = math.ceil((at + PERIOD - datetime.now(UTC)) / timedelta(days=1))
    return f"in {words.plural(days, 'day')}" if days > 1 else "within a day"


def _restore(study_id: str) -> None:
    delete.restore([study_id])
