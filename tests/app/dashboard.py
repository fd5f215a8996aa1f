"""Runs pages of the dashboard in memory, and reads their texts and tables."""

from functools import cache
from pathlib import Path
from unittest.mock import patch

import pandas as pd
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

# Every AppTest searches all installed packages for components, which takes half a second; one search serves all.
patch.object(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests)).start()

MAIN = Path(__file__).parents[2] / "app" / "main.py"


def open_page(page: str, **query: str) -> AppTest:
    """Return a page after its first run; query: the parameters of its address, as in study="made-study-0001"."""
    app = AppTest.from_file(str(MAIN), default_timeout=90)
    app.switch_page(page)
    for name, value in query.items():
        app.query_params[name] = value
    return rerun(app)


def rerun(app: AppTest) -> AppTest:
    """Run a page again; any exception in it fails the test."""
    app.run()
    assert not app.exception, [item.value for item in app.exception]
    return app


def texts(app: AppTest) -> str:
    """Return all texts of a page, one a line."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "code", "metric")
    return "\n".join(f"{getattr(item, 'label', '')} {item.value}" for kind in kinds for item in getattr(app, kind))


def tables(app: AppTest) -> list[pd.DataFrame]:
    """Return the short tables of a page without escapes; long ones, which scroll, are in `app.dataframe`."""
    return [table.value.map(lambda cell: str(cell).replace("\\", "")) for table in app.table]
