"""A decorator that caches a function's result for all who may read the same, until the data behind it changes."""

import inspect
import threading
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeGuard, TypeVar

import streamlit as st

from app.state import audience
from data.database.database import DatabaseBusy

# The most arguments of a function whose latest result is known.
MOST_LATEST = 256

# A value that changes whenever a result must be computed anew.
Marker = tuple[Any, ...]

P = ParamSpec("P")
R = TypeVar("R")


def cached(
    by: Callable[..., Marker] | None = None,
    *,
    max_entries: int | None = None,
    ttl: float | None = None,
    shared: bool = False,
    hash_funcs: dict[str | type, Callable[[Any], Any]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that caches a function's result for each set of arguments while its marker stays the same.

    Visitors share results if they may read the same: all owners, and all viewers of a link.

    by: a function that returns the marker, from as many of the first arguments as it has parameters; None to go by
    time alone. ttl: seconds after which a result is computed anew; None where a marker says when, since others may use
    the database for hours. max_entries: the most results that are cached. shared: all callers get the same object,
    which none may change; else each gets a copy. hash_funcs: how to hash arguments of a type, as in
    `streamlit.cache_data`. Exceptions are not cached; while others use the database, the latest result for the same
    arguments is returned if there is one, and a toast says so.
    """
    marked = 0 if by is None else len(inspect.signature(by).parameters)
    cache = st.cache_resource if shared else st.cache_data

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        def compute(marker: Marker, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return function(*args, **kwargs)

        # Streamlit identifies a cache by the module, name and source of its function, and arguments by their names.
        named = wraps(function)(compute)
        named.__signature__ = _after_marker(inspect.signature(function))  # type: ignore[attr-defined]
        lookup: Callable[Concatenate[Marker, P], R] = cache(
            ttl=ttl, max_entries=max_entries, show_spinner=False, hash_funcs=hash_funcs
        )(named)

        # The marker of the latest result for some arguments, which is shown while the database is in use.
        latest: dict[Hashable, Marker] = {}
        lock = threading.Lock()

        @wraps(function)
        def current(*args: P.args, **kwargs: P.kwargs) -> R:
            # What an owner reads must never reach a viewer, nor what the viewers of one link read those of another.
            who = audience.marker()
            key = (who, args, tuple(sorted(kwargs.items())))
            try:
                marker = (who, *(() if by is None else by(*args[:marked])))
                result = lookup(marker, *args, **kwargs)
            except DatabaseBusy as busy:
                if not _hashable(key) or key not in latest:
                    raise
                st.toast(f"Shown as it was: {audience.database_error(busy)}", icon=":material/hourglass_top:")
                return lookup(latest[key], *args, **kwargs)
            if by is not None and _hashable(key):
                with lock:
                    latest.pop(key, None)
                    latest[key] = marker
                    if len(latest) > MOST_LATEST:
                        del latest[next(iter(latest))]
            return result

        return current

    return decorate


def _hashable(key: object) -> TypeGuard[Hashable]:
    try:
        hash(key)
    except TypeError:
        return False
    return True


def _after_marker(signature: inspect.Signature) -> inspect.Signature:
    marker = inspect.Parameter("marker", inspect.Parameter.POSITIONAL_ONLY)
    return signature.replace(parameters=[marker, *signature.parameters.values()])
