"""Loading plugins in a test's own process, and forgetting them afterwards."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data.plugins import loading
from data.plugins.checks import TABLES
from data.plugins.loading import Plugin
from data.settings import settings
from engine.code import loaded_identity

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


@contextmanager
def forgotten() -> Iterator[None]:
    """Restore, at the end of the block, the tables and modules as they were without plugins."""
    tables = {kind: dict(table.data) for kind, table in TABLES.items()}
    modules, path, tried = set(sys.modules), list(sys.path), dict(loading._tried)
    try:
        yield
    finally:
        gone(tables)
        loaded_identity.cache_clear()
        loading._tried.clear()
        loading._tried.update(tried)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if name.startswith("plugin_") or not file.startswith(sys.prefix):
                del sys.modules[name]


def gone(tables: dict[str, dict[str, object]]) -> None:
    """Give the tables other entries."""
    for kind, entries in tables.items():
        TABLES[kind].data = dict(entries)


def plug(monkeypatch: pytest.MonkeyPatch, *names: object) -> tuple[Plugin, ...]:
    """Load plugins as a process does that finds them in its settings; call it within `forgotten`."""
    monkeypatch.setenv("TICKETSCOPE_PLUGINS", ",".join(map(str, names)))
    settings.cache_clear()
    return loading.load(settings())
