"""Which studies the list shows, and in which order; the address has every choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app import words
from app.state import address

# The titles of the orders, and for each the column that it goes by and whether the smallest value comes first; a study
# launched later comes first among equals.
ORDERS: dict[str, tuple[str, str, bool]] = {
    "latest": ("Latest first", "", False),
    "oldest": ("Oldest first", "", True),
    "active": ("Last active first", "last_event_at", False),
    "name": ("By name", "name", True),
    "size": ("Largest first", "stages", False),
}
# The states in the order of the list.
_STATES = ("running", "queued", "failed", "done", "cancelled")


@dataclass(frozen=True)
class Filters:
    """What the reader looks for; \"\" stands for all."""

    query: str = ""
    state: str = ""
    dataset: str = ""
    network: str = ""
    tag: str = ""
    order: str = "latest"

    @property
    def narrow(self) -> bool:
        """Whether anything but the order was chosen."""
        return any((self.query.strip(), self.state, self.dataset, self.network, self.tag))


# The keys of the widgets, which the address has too.
KEYS = ("search", "state", "dataset", "network", "tag", "order")


def select(studies: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """Return the studies that match, in their order; studies: the latest first."""
    for name, value in (("datasets", filters.dataset), ("networks", filters.network), ("tags", filters.tag)):
        if value:
            studies = _where(studies, [value in values for values in studies[name]])
    if filters.state:
        studies = studies[studies["state"] == filters.state]
    if filters.query.strip():
        studies = _where(studies, [words.matches(filters.query, _text(row)) for row in studies.to_dict("records")])
    _, column, ascending = ORDERS[filters.order]
    if not column:
        return studies[::-1] if ascending else studies
    return studies.sort_values(column, ascending=ascending, kind="stable", key=_folded)


def _where(studies: pd.DataFrame, wanted: list[bool]) -> pd.DataFrame:
    # An empty list would select columns.
    return studies[pd.Series(wanted, studies.index, bool)]


def _folded(values: pd.Series) -> pd.Series:
    return values.str.casefold() if values.dtype.kind in "OTU" or values.dtype == "str" else values


def _text(row: dict[str, object]) -> str:
    # What a row sums up is found by its parts, too.
    rates = words.numbers(row["learning_rates"])  # type: ignore[arg-type]
    lists = " ".join(name for column in ("datasets", "networks", "tags") for name in row[column])  # type: ignore[attr-defined]
    return f"{row['name']} {row['note']} {row['state']} {words.compares(row)} {rates} {lists}"


def choose(studies: pd.DataFrame) -> Filters:
    """Show the search, the filters that tell the studies apart and the order, and return what the reader chose."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="studies_filters"):
        query = st.text_input(
            "Search studies",
            type="search",
            key=address.search("search"),
            placeholder="Search",
            label_visibility="collapsed",
            persist_state="page",
            width=260,
        )
        states = [state for state in _STATES if state in set(studies["state"])]
        state = _one("state", "All states", states, lambda name: words.STATES[name][0])
        dataset = _one("dataset", "All datasets", _values(studies, "datasets"), words.dataset)
        network = _one("network", "All networks", _values(studies, "networks"), words.network)
        tag = _one("tag", "All tags", _values(studies, "tags"), str, least=1)
        order = st.selectbox(
            "Order",
            list(ORDERS),
            format_func=lambda name: ORDERS[name][0],
            key=address.one("order", ORDERS),
            label_visibility="collapsed",
            persist_state="page",
            width=175,
        )
    return Filters(query or "", state, dataset, network, tag, order)


def _values(studies: pd.DataFrame, column: str) -> list[str]:
    return sorted({value for values in studies[column] for value in values})


def _one(key: str, everything: str, options: Sequence[str], title: Callable[[str], str], least: int = 2) -> str:
    """Return the option that the reader selects, \"\" for all; nothing is shown where there is no choice."""
    if len(options) < least:
        address.drop(key)
        return ""
    return str(
        st.selectbox(
            key.capitalize(),
            ["", *options],
            format_func=lambda option: title(option) if option else everything,
            key=address.one(key, ["", *options]),
            label_visibility="collapsed",
            persist_state="page",
            width=160,
        )
    )


def clear() -> None:
    """Show all studies again, in the same order; for the on_click of a button."""
    for key in KEYS[:-1]:
        st.session_state[key] = ""
