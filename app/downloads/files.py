"""The files of a link, with its rights: what its pages show and offer, made anew when a study has new results."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from app import words
from app.charts.chart import PARQUET, file_name, parquet
from app.state import turns
from data.database.database import Database
from data.parquet import SCHEMAS, tables_from_database
from data.queries import studies
from data.queries.revision import results_revisions
from data.shared_links import Share
from data.viewers import ViewersDatabase
from engine.errors import UserError

JSON, TOML = "application/json", "application/toml"
TABLES = {f"{name}.parquet": name for name in SCHEMAS}
LIST, STUDY = "studies.json", "study.toml"
NAMES = (*TABLES, LIST, STUDY)

# The most rows behind a file, twice those of all studies of the paper: making it takes memory for all of them.
MOST_ROWS = 5_000_000
# The most bytes of files in the cache, which hold until their studies have new results.
MOST_BYTES = 64_000_000
# Seconds that a file waits for the pages and files of other viewers.
PATIENCE = 10.0


class LinkShowsNothing(UserError):
    """A link is unknown, revoked or expired, or all that it shows is deleted; the message does not say which."""

    def __init__(self) -> None:
        super().__init__(f"{words.NO_LINK}. {words.NO_LINK_ADVICE}")


class NoSuchStudy(UserError):
    """A link does not show the study that was asked for."""


class ChooseStudy(UserError):
    """A file is of one study, and the link shows several."""


class TooLarge(UserError):
    """A file would have too many rows."""


class TooBusy(UserError):
    """Others have had their turn for too long."""


@dataclass(frozen=True)
class File:
    """A file to send: its content, media type, a name that every system accepts, and a hash as HTTP's entity tag.

    It is hashed as it is made, in a thread, since a large one would hold up the server's loop.
    """

    content: bytes
    kind: str
    name: str
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        tag = f'"{hashlib.blake2b(self.content, digest_size=16).hexdigest()}"'
        object.__setattr__(self, "tag", tag)


def file(database: Database, share: Share, name: str, study: str | None = None) -> File:
    """Return a file of a link that works.

    database: the whole one. name: one of NAMES. study: the id or the name, as the link shows it, of one of its studies;
    without it, a table of a link to a view has the rows of all its studies, with study_id and study in front. Raises
    NoSuchStudy, ChooseStudy, TooLarge, TooBusy, DatabaseError, and UnknownStudy if a study was deleted meanwhile.
    """
    viewed = ViewersDatabase(database, share)
    shown = _shown(viewed, share)
    ids = list(shown) if study is None else [_chosen(shown, study)]
    if name == LIST:
        return File(json.dumps({"studies": _listed(viewed, ids)}, ensure_ascii=False).encode(), JSON, LIST)
    if name == STUDY:
        if len(ids) > 1:
            raise ChooseStudy(f"this link shows several studies; add &study= with the id of one: {_choices(shown)}")
        return File(studies.study(viewed, ids[0]).toml.encode(), TOML, file_name(ids[0], "study") + ".toml")
    joined = study is None and share.state is not None
    content = _tables(viewed, share, {study_id: shown[study_id] for study_id in ids}, joined)[TABLES[name]]
    return File(content, PARQUET, file_name("studies" if joined else ids[0], TABLES[name]) + ".parquet")


def _shown(viewed: ViewersDatabase, share: Share) -> dict[str, str]:
    """Return the names of a link's studies by their ids, in its order."""
    with viewed.reading() as connection:
        return {key: name for key, (name, _) in studies.launched(connection, share.study_ids).items()}


def _chosen(shown: Mapping[str, str], study: str) -> str:
    found = [key for key, name in shown.items() if study in (key, name)]
    if len(found) != 1:
        raise NoSuchStudy(f"study={study!r} names no one study of this link; it shows {_choices(shown)}")
    return found[0]


def _choices(shown: Mapping[str, str]) -> str:
    return ", ".join(f"{key} ({name})" for key, name in shown.items())


def _listed(viewed: ViewersDatabase, ids: Sequence[str]) -> list[dict[str, object]]:
    rows = {str(row["study_id"]): row for row in studies.studies(viewed).to_dict("records")}
    return [
        {"study_id": key, **{name: rows[key][name] for name in ("name", "state", "stages", "done")}}
        for key in ids
        if key in rows
    ]


@dataclass
class FileCache:
    """The latest files by what they were made from, at most `most` bytes of them."""

    most: int

    def __post_init__(self) -> None:
        self._files: OrderedDict[object, dict[str, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> dict[str, bytes] | None:
        """Return the files of a key, None if they are not cached."""
        with self._lock:
            if key in self._files:
                self._files.move_to_end(key)
            return self._files.get(key)

    def add(self, key: object, files: dict[str, bytes]) -> None:
        """Keep files, in place of those that were used longest ago."""
        with self._lock:
            self._files[key] = files
            while sum(len(content) for made in self._files.values() for content in made.values()) > self.most:
                self._files.popitem(last=False)


CACHE = FileCache(MOST_BYTES)


def _tables(viewed: ViewersDatabase, share: Share, shown: Mapping[str, str], joined: bool) -> dict[str, bytes]:
    """Return all tables as Parquet, by name; shown: the names of the studies by id."""
    # Names of folders depend on all studies of a link, and what is left out on whether it is anonymous.
    revisions = results_revisions(viewed, list(shown))
    key = (share.study_ids, share.anonymous, joined, tuple(shown.items()), tuple(sorted(revisions.items())))
    if (made := CACHE.get(key)) is not None:
        return made
    with turns.viewers_turn(PATIENCE) as has_turn:
        if not has_turn:
            raise TooBusy("others read links at the moment; try again in a few seconds")
        # Whoever had the turn before may have made the same.
        if (made := CACHE.get(key)) is None:
            made = _made(viewed, shown, joined)
            CACHE.add(key, made)
    return made


def _made(viewed: ViewersDatabase, shown: Mapping[str, str], joined: bool) -> dict[str, bytes]:
    if (rows := _rows(viewed, list(shown))) > MOST_ROWS:
        raise TooLarge(
            f"the tables have {rows:,} measured rows, and links give at most {MOST_ROWS:,}; ask for one study with "
            "&study=, or the sender for the tables as files (ticketscope export)"
        )
    parts = {study_id: tables_from_database(viewed, study_id) for study_id in shown}
    if not joined:
        [tables] = parts.values()
        return {name: parquet(table) for name, table in tables.items()}
    return {
        name: parquet(pa.concat_tables([_headed(parts[key][name], key, shown[key]) for key in shown]))
        for name in SCHEMAS
    }


def _headed(table: pa.Table, study_id: str, study: str) -> pa.Table:
    for name, value in (("study", study), ("study_id", study_id)):
        table = table.add_column(0, pa.field(name, pa.string()), pa.array([value] * len(table), pa.string()))
    return table


def _rows(viewed: ViewersDatabase, ids: Sequence[str]) -> int:
    """Return the number of measured rows behind the tables of some studies."""
    of_studies = "USING (fingerprint) WHERE study_id IN (SELECT unnest($1::VARCHAR[]))"
    tables = ("epochs", "overlap_counts")
    counts = " + ".join(f"(SELECT count(*) FROM roles JOIN {table} {of_studies})" for table in tables)
    with viewed.reading() as connection:
        row = connection.execute(f"SELECT {counts}", [list(ids)]).fetchone()
    return int(row[0]) if row else 0
