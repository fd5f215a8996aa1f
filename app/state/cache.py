"""The decorator that keeps the answer of a function for all visitors until what it reads changes."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import streamlit as st

# Answers that nobody asks for are dropped after this time.
KEEP = "10min"

# What changes whenever an answer must be computed anew.
Marker = tuple[int | str, ...]

P = ParamSpec("P")
R = TypeVar("R")


def cached(
    by: Callable[..., Marker] | None = None,
    *,
    max_entries: int | None = None,
    ttl: float | str = KEEP,
    shared: bool = False,
    hash_funcs: dict[str | type, Callable[[Any], Any]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that keeps a function's answer for each set of arguments while its marker stays the same.

    by: returns the marker, from as many of the function's first arguments as it takes; None to go by time alone. ttl:
    seconds or a text such as "10min" after which an answer is computed anew. max_entries: the number of answers that
    are kept. shared: every caller gets the same object, which none of them may change; else each gets a copy.
    hash_funcs: how to tell arguments of a type apart, as in `streamlit.cache_data`. An exception is not kept.
    """
    taken = 0 if by is None else len(inspect.signature(by).parameters)
    cache = st.cache_resource if shared else st.cache_data

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        def answer(marker: Marker, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return function(*args, **kwargs)

        # Streamlit tells caches apart by module, name and source of what they are for, and arguments by their names.
        named = wraps(function)(answer)
        named.__signature__ = _after_marker(inspect.signature(function))  # type: ignore[attr-defined]
        keep: Callable[Concatenate[Marker, P], R] = cache(
            ttl=ttl, max_entries=max_entries, show_spinner=False, hash_funcs=hash_funcs
        )(named)

        @wraps(function)
        def current(*args: P.args, **kwargs: P.kwargs) -> R:
            return keep(() if by is None else by(*args[:taken]), *args, **kwargs)

        return current

    return decorate


def _after_marker(signature: inspect.Signature) -> inspect.Signature:
    marker = inspect.Parameter("marker", inspect.Parameter.POSITIONAL_ONLY)
    return signature.replace(parameters=[marker, *signature.parameters.values()])
