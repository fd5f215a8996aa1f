"""A link as one static page, which any web server can hold: the study's report, made anew while the study trains."""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from streamlit import logger

from app import words
from data import shared_links
from data.atomic import write_whole
from data.database.database import Database, DatabaseError
from data.plugins import loading as plugins
from data.queries import studies
from data.queries.revision import Revision, revision
from data.settings import settings
from data.viewers import ViewersDatabase
from engine.errors import UserError

PAGE = "index.html"
# The page of an earlier snapshot begins so; no other file is replaced.
MARK = '<meta name="generator" content="Ticketscope snapshot">'

_ENDED = f"""<!doctype html>
<html lang="en"><head>{MARK}<meta charset="utf-8"><title>{words.NO_LINK}</title></head>
<body style="font-family: system-ui, sans-serif; margin: 3rem"><h1>{words.NO_LINK}</h1>
<p>{words.NO_LINK_ADVICE}</p></body></html>
"""


class SnapshotError(UserError):
    """A link has no snapshot, or its folder holds something else."""


class Snapshot:
    """The static page of a link in a folder.

    token: the link's. every: seconds between two looks at the study, which the page's browsers keep too.
    """

    def __init__(self, database: Database, token: str, folder: Path, every: float) -> None:
        self._database = database
        self._token = token
        self._path = folder / PAGE
        self._every = every
        self._written: tuple[str, Revision] | None = None

    def refresh(self) -> str:
        """Write the page if the study has changed since the last call, and return the study's state.

        A link that ended gets a page that says so. SnapshotError then, for a link to a view of several studies, and if
        another file is in the way; DatabaseError while the database cannot be read.
        """
        self._require_own()
        share = shared_links.find(self._database, self._token)
        if share is None or not share.study_ids:
            if self._path.exists():
                self._write(_ENDED)
            raise SnapshotError("the link shows nothing: it is unknown, has expired, or was revoked")
        if share.state is not None:
            raise SnapshotError("the link shows a view of several studies; share one study, and give its link")
        from app.export.report import report

        [study_id] = share.study_ids
        viewed = ViewersDatabase(self._database, share)
        state = studies.study(viewed, study_id).state
        now = state, revision(self._database, study_id)
        if now != self._written:
            self._write(self._marked(report(viewed, study_id), state))
            self._written = now
        return state

    def _marked(self, page: str, state: str) -> str:
        again = "" if _has_ended(state) else f'<meta http-equiv="refresh" content="{self._every:.0f}">'
        return page.replace("<head>", f"<head>{MARK}{again}", 1)

    def _require_own(self) -> None:
        if self._path.exists() and MARK not in self._path.read_text(encoding="utf-8", errors="replace")[:1000]:
            raise SnapshotError(f"{self._path} is no snapshot of Ticketscope; give an empty folder")

    def _write(self, page: str) -> None:
        write_whole(self._path, page.encode())
        # The web server may run as another account.
        self._path.chmod(0o644)


def _has_ended(state: str) -> bool:
    from app.state.queries import FINISHED

    return state in FINISHED


def main() -> int:
    """Write the page of the link whose token is on stdin, again and again until its study has ended."""
    # Without a dashboard around it, Streamlit warns of each function that it caches, as soon as its module is imported.
    logger.set_log_level("ERROR")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=float, required=True)
    arguments = parser.parse_args()
    plugins.load(settings())
    snapshot = Snapshot(Database(settings().database), sys.stdin.read().strip(), arguments.out, arguments.every)
    said = ""
    while True:
        try:
            state = snapshot.refresh()
        except DatabaseError as error:
            # The page stays as it is.
            state = f"not read this time: {error}"
        except (UserError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        if state != said:
            print(f"{datetime.now(UTC):%H:%M} UTC, the study is {state}: {arguments.out / PAGE}", flush=True)
            said = state
        if _has_ended(state):
            return 0
        time.sleep(arguments.every)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # The page stays, without any further refresh.
        sys.exit(130)
