"""The server's time for the list of many studies, drawn in memory for a visitor who has just come."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from unittest.mock import patch

import streamlit as st
import torch
from streamlit import config
from streamlit.runtime import context

from app.auth import peers
from data.database.database import Database
from data.settings import settings
from engine.study.spec import parse_study
from tests.app.dashboard import open_page
from tests.app.made_study import record

STUDY = {"name": "Study 0", "datasets": ["digits"], "networks": ["lenet300"], "seeds": [0, 1], "recipe": {"epochs": 4}}
# Each copy is another study of the same trainings.
_COPIES = """
    CREATE TEMP TABLE copies AS SELECT 'study-' || i AS copy, i FROM range(1, ?) AS numbers(i);
    INSERT INTO studies SELECT copy, 'Study ' || i, toml, note, datasets, networks, learning_rates, pruners, starts,
        seeds, created_at + to_minutes(i) FROM studies, copies;
    INSERT INTO study_stages SELECT copy, fingerprint, position, dataset, reused FROM study_stages, copies;
    INSERT INTO roles SELECT copy, roles.* EXCLUDE (study_id) FROM roles, copies;
    INSERT INTO launches SELECT copy, revision FROM launches, copies
"""


class _Request:
    """The request of the dashboard's own account."""

    headers = (("Host", "localhost:8501"), (peers.HEADER, peers.OWN))
    cookies: Mapping[str, str] = {}


@contextmanager
def homes(count: int) -> Iterator[None]:
    """Work in a home with a number of studies of 52 trainings each within the block."""
    with TemporaryDirectory() as folder:
        os.environ["TICKETSCOPE_HOME"] = folder
        settings.cache_clear()
        database = Database(settings().database)
        record(database, parse_study(STUDY), study_id="study-0")
        with database.writing() as connection:
            for statement in _COPIES.split(";"):
                connection.execute(statement, [count] if "?" in statement else None)
        yield


def first_visit(count: int) -> float:
    """Return the seconds in which a server that knows nothing yet draws the list of a number of studies."""
    before = config.get_option("server.address")
    config.set_option("server.address", "localhost")
    with homes(count), patch.object(context, "_get_client_context", _Request):
        st.cache_data.clear()
        st.cache_resource.clear()
        begin = time.perf_counter()
        page = open_page("views/studies.py")
        seconds = time.perf_counter() - begin
    config.set_option("server.address", before)
    shown = [link.label for link in page.get("page_link")]
    if shown[0] != f"**Study {count - 1}**":
        raise RuntimeError(f"the list begins with {shown[:1]}")
    return seconds


@contextmanager
def listing(device: torch.device) -> Iterator[Callable[[float], tuple[float, int]]]:
    """Yield a function that draws the list of a number of studies, and returns its seconds and that number."""
    del device
    # The first page of a process imports what all pages need.
    first_visit(2)
    yield lambda count: (first_visit(int(count)), int(count))
