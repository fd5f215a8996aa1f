"""Runs pages of the dashboard in memory, and reads their texts and tables."""

import re
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pandas as pd
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from app.charts.points import in_words

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
    """Return all texts of a page, one a line, without their links to the glossary."""
    kinds = ("title", "header", "markdown", "caption", "info", "warning", "error", "code", "metric")
    return without_links(
        "\n".join(f"{getattr(item, 'label', '')} {item.value}" for kind in kinds for item in getattr(app, kind))
    )


def tables(app: AppTest) -> list[pd.DataFrame]:
    """Return the tables of a page as texts without escapes, those with numbers, which can be sorted, last."""
    of_texts = [
        table.value.map(lambda cell: str(cell).replace("\\", "")).rename(columns=_plain_symbols) for table in app.table
    ]
    return [*of_texts, *(in_words(frame.value) for frame in app.dataframe)]


def _plain_symbols(title: str) -> str:
    return title.replace(r"$\theta_0$", "θ₀").replace(r"$\theta_T$", "θ_T").replace("$R_p$", "R_p").replace("\\", "")


def without_links(text: str) -> str:
    """Return Markdown with the words of each link to the glossary in its place."""
    return re.sub(r"\[((?:[^\[\]\\]|\\.)*)\]\(glossary\?term=[^)]*\)", r"\1", text)
