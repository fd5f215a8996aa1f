"""A database and a small study for the tests of the app."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config
from streamlit.runtime import context

from app.auth import peers
from data.database.database import Database
from data.settings import settings
from engine.study.spec import Study, parse_study


class Request:
    """The request of a page that the dashboard's own account opens at this machine."""

    headers = (("Host", "localhost:8501"), (peers.HEADER, peers.OWN))
    cookies: Mapping[str, str] = {}


@pytest.fixture(autouse=True)
def empty_caches(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins with empty caches, and its owner opens a server that listens on this machine only."""
    del home
    # Pages that run in memory have no request.
    monkeypatch.setattr(context, "_get_client_context", Request)
    before = config.get_option("server.address")
    config.set_option("server.address", "localhost")
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    config.set_option("server.address", before)


@pytest.fixture
def database(home: Path) -> Database:
    """The empty database that the dashboard reads."""
    del home
    empty = Database(settings().database)
    empty.ensure()
    return empty


@pytest.fixture
def study() -> Study:
    """A small study with everything that the charts compare."""
    return parse_study(
        {
            "name": "Small study",
            "datasets": ["digits"],
            "networks": ["lenet300"],
            "pruners": ["iterative", "oneshot"],
            "sparsities": [0.5, 0.9],
            "seeds": [0, 1, 2],
            "recipe": {"epochs": 4, "weight_decay": 0.01},
        }
    )
