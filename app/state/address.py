"""The choices of a study's page in its address, so that a reload, the back button and a copied address restore them.

Streamlit can bind a widget to the address itself (`bind="query-params"`), which does not suit tabs: it replaces the
entry in the browser's history, and forgets the choices of a tab when another one is opened.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from data.shared_links import TOKEN

# These parameters say what the page shows, and are no choice of the reader's.
NOT_CHOICES = ("study", TOKEN)
# Longer values are ignored.
LONGEST = 500
# Addresses need no escape for this letter, and no value of a list contains it.
BETWEEN = "~"

_STATE = "address_state"

T = TypeVar("T")


@dataclass
class _Choice:
    """How the value of a widget becomes text; stays: whether the default is written too, once it was chosen."""

    default: Any
    write: Callable[[Any], str]
    stays: bool = False


@dataclass
class _Address:
    """The address of one page: its choices, those that their widgets have, and those that an earlier address had."""

    page: str
    choices: dict[str, str]
    applied: set[str] = field(default_factory=set)
    earlier: set[str] = field(default_factory=set)
    drawn: dict[str, _Choice] = field(default_factory=dict)
    options: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)


def arrive(page: str) -> None:
    """Read the address if the reader has just come to a page or went back or forward; page: distinguishes pages.

    Afterwards the widgets decide what the address is, even if the browser still sends the one before.
    """
    known: _Address | None = st.session_state.get(_STATE)
    context = get_script_run_ctx(suppress_warning=True)
    if known is not None and known.page == page and not (context and context.is_history_navigation):
        return
    params = st.query_params.to_dict()
    choices = {name: text for name, text in params.items() if name not in NOT_CHOICES and len(text) <= LONGEST}
    earlier = known.applied | known.earlier if known is not None else set()
    st.session_state[_STATE] = _Address(page, choices, earlier=earlier)


def at_first(key: str, value: T) -> T:
    """Return the value that this was called with first since the reader came to the page."""
    address: _Address | None = st.session_state.get(_STATE)
    return value if address is None else address.first.setdefault(key, value)


def leave() -> None:
    """Forget the choices, for every page that has none in its address."""
    st.session_state.pop(_STATE, None)


def one(
    key: str,
    options: Iterable[Any],
    default: Any = None,
    text: Callable[[Any], str] | None = None,
    stays: bool = False,
) -> str:
    """Give a widget that selects one option the value in the address, and return its key.

    default: None for the first option. text: writes an option; None for its usual text. stays: the default is written
    too, once the reader has chosen it, since the default itself may change.
    """
    listed = tuple(options)
    write = text or _text
    by_text = {write(option): option for option in listed}
    address: _Address | None = st.session_state.get(_STATE)
    if address is not None and stays and address.options.get(key, listed) != listed:
        # Streamlit takes these options for another widget, which begins with its default.
        address.applied.discard(key)
    if address is not None:
        address.options[key] = listed
    first = listed[0] if default is None and listed else default
    return _apply(key, by_text.__getitem__, _Choice(first, write, stays))


def several(key: str, options: Iterable[Any], default: Iterable[Any] = (), most: int | None = None) -> str:
    """Give a widget that selects several options the values in the address, and return its key; others are ignored.

    Long options, such as fingerprints, are written with their first 12 letters.
    """
    by_text = {_text(option)[:12]: option for option in options}

    def read(text: str) -> list[Any]:
        parts = dict.fromkeys(part for part in text.split(BETWEEN) if part in by_text)
        if text and not parts:
            raise ValueError(text)
        return [by_text[part] for part in parts][:most]

    def write(values: Iterable[Any]) -> str:
        return BETWEEN.join(_text(value)[:12] for value in values)

    return _apply(key, read, _Choice(list(default), write))


def number(key: str, least: float, most: float, default: float) -> str:
    """Give an input the number in the address if it is within limits, and return its key; whole if the default is."""

    def read(text: str) -> float:
        value = int(text) if isinstance(default, int) else float(text)
        if not (math.isfinite(value) and least <= value <= most):
            raise ValueError(text)
        return value

    return _apply(key, read, _Choice(default, _text))


def search(key: str) -> str:
    """Give a search the text in the address, and return its key."""
    return _apply(key, lambda text: text.replace("\0", ""), _Choice("", str))


def drop(key: str) -> None:
    """Take a choice out of the address, since the page offers it no more."""
    address: _Address | None = st.session_state.get(_STATE)
    if address is not None:
        address.choices.pop(key, None)
        address.drawn.pop(key, None)


def save() -> None:
    """Write the values of all widgets that were drawn into the address, without those that have their default."""
    address: _Address | None = st.session_state.get(_STATE)
    if address is None:
        return
    for key in address.applied & set(address.drawn):
        if key not in st.session_state:
            continue
        choice, value = address.drawn[key], st.session_state[key]
        if value is None or (value == choice.default and not (choice.stays and key in address.choices)):
            address.choices.pop(key, None)
        elif len(text := choice.write(value)) <= LONGEST:
            address.choices[key] = text
    before = st.query_params.to_dict()
    params = {name: before[name] for name in NOT_CHOICES if name in before} | address.choices
    if params != before:
        st.query_params.from_dict(params)


def _apply(key: str, read: Callable[[str], Any], choice: _Choice) -> str:
    """Set a widget to its value in an address that was just opened; ignore one that it cannot have."""
    address: _Address | None = st.session_state.get(_STATE)
    if address is None:
        return key
    address.drawn[key] = choice
    if key in address.applied:
        return key
    address.applied.add(key)
    try:
        st.session_state[key] = read(address.choices[key])
    except (KeyError, ValueError, OverflowError):
        address.choices.pop(key, None)
        # Going back to an address without the value restores the default.
        if key in address.earlier:
            st.session_state[key] = choice.default
    return key


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
