"""The Export menu of a study's page: its report, everything as a zip, a bundle, its TOML, and its tables."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from app.auth import access
from app.charts.chart import PARQUET, parquet
from app.export.report import report
from app.export.zip import everything
from app.state import audience, queries
from data import shared_links
from data.bundles.writer import in_memory
from data.database.database import Database
from data.parquet import SCHEMAS, tables_from_database
from data.queries.studies import StudyRecord
from data.settings import settings
from engine.errors import UserError


class LinkEnded(UserError):
    """The link to a study has ended since its page was opened."""


def menu(record: StudyRecord) -> None:
    """Show the menu of a study; a file is made when it is requested."""
    # A fragment takes a whole row unless a container limits it.
    with st.container(width="content"):
        _menu(record)


@st.fragment
@audience.database_errors()
def _menu(record: StudyRecord) -> None:
    study_id, database = record.study_id, queries.database()
    opened = st.popover("Export", icon=":material/download:", on_change="rerun", key="study_export", width="content")
    if not opened.open:
        return
    # An open menu runs without its page, which would check the access.
    if not access.may_see(study_id):
        st.rerun()
    with opened, st.container(gap=None):
        save = partial(st.download_button, on_click="ignore", type="tertiary")
        save(
            "Report (HTML)",
            _while_allowed(lambda: report(database, study_id)),
            f"{study_id}-report.html",
            "text/html",
            icon=":material/description:",
            key="study_report",
        )
        save(
            "Everything (zip)",
            _while_allowed(lambda: everything(database, study_id)),
            f"{study_id}.zip",
            "application/zip",
            icon=":material/folder_zip:",
            key="study_zip",
        )
        if access.is_owner():
            # It names workers and hosts, which the viewers of a link do not see.
            save(
                "Bundle (zip)",
                lambda: in_memory(database, study_id, settings().lab),
                f"{study_id}.ticketscope.zip",
                "application/zip",
                icon=":material/inventory_2:",
                key="study_bundle",
                help="The study with its results, for *Import* on the page *Studies* of another installation. It names "
                "workers, hosts and folders of images. `ticketscope export --bundle --weights` adds weights.",
            )
        save(
            "Study (TOML)",
            record.toml,
            f"{study_id}.toml",
            "application/toml",
            icon=":material/tune:",
            key="study_toml",
        )
        for name in SCHEMAS:
            save(
                f"Table of {name} (Parquet)",
                _while_allowed(_table(database, study_id, name)),
                f"{study_id}-{name}.parquet",
                PARQUET,
                icon=":material/table:",
                key=f"study_table_{name}",
            )


def _table(database: Database, study_id: str, name: str) -> Callable[[], bytes]:
    return lambda: parquet(tables_from_database(database, study_id)[name])


def _while_allowed(make: Callable[[], str | bytes]) -> Callable[[], str | bytes]:
    """Return a function that makes a file only while the link of this session works; it runs outside the page."""
    if access.is_owner():
        return make
    share = access.link()

    def checked() -> str | bytes:
        links = shared_links.shares(audience.whole_database())
        if share is None or not links[links["share_id"] == share.share_id]["works"].any():
            raise LinkEnded("the link has ended; ask whoever sent it for a new one")
        return make()

    return checked
