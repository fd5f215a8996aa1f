"""SQL and paths in a reader's input are plain text to the database, which opens no other file than its own."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from app import words
from app.compare.state import decode, encode, from_query
from data import saved_views, shared_links
from data.database.database import Database
from data.queries import points, studies
from data.queries.selection import OneStudy, Studies
from data.queries.studies import UnknownStudy
from data.saved_views import ViewError
from data.settings import settings
from data.shared_links import ShareError
from engine.study.spec import parse_study
from tasks.broker.server import serving
from tasks.studies import launch
from tests.app.made_study import record
from tests.machine import tiny_study

ID, OTHER = "study-one", "study-two"
HOSTILE = [
    "",
    "'",
    "''",
    "' OR 1=1 --",
    "'; DROP TABLE studies; --",
    '"; DROP TABLE studies; --',
    "%",
    "_",
    "*",
    "?",
    "[a-z]*",
    "\\",
    "\0",
    "\n",
    "/etc/passwd",
    "../../etc/passwd",
    "read_csv('/etc/passwd')",
    "incoming",
    "$1",
    "?1",
    "{study_id}",
    "x" * 100_000,
    "🎟" * 1_000,
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with two small studies."""
    database = Database(tmp_path_factory.mktemp("database") / "ticketscope.duckdb")
    database.ensure()
    for study_id in (ID, OTHER):
        record(database, tiny_study(name=study_id), study_id=study_id)
    return database


def assert_untouched(database: Database) -> None:
    assert sorted(studies.studies(database)["study_id"]) == [ID, OTHER]


READS: list[Callable[[Database, str], Any]] = [
    studies.study,
    studies.stages,
    studies.residuals,
    lambda database, text: points.accuracy(database, OneStudy(text)),
    lambda database, text: points.epochs(database, OneStudy(text)),
    lambda database, text: points.overlaps(database, OneStudy(text)),
    lambda database, text: points.pooled_overlaps(database, OneStudy(text)),
    lambda database, text: points.epochs(database, OneStudy(ID), [text]),
    lambda database, text: points.overlaps(database, OneStudy(ID), [text]),
    lambda database, text: points.pooled_overlaps(database, OneStudy(ID), [text]),
    lambda database, text: points.accuracy(database, Studies([text])),
    lambda database, text: points.retention(database, Studies([text, ID])),
    lambda database, text: points.epochs(database, Studies([ID]), [text]),
    lambda database, text: shared_links.find(database, text),
    lambda database, text: shared_links.shares(database, text),
    shared_links.revoke,
    lambda database, text: shared_links.create(database, [text]),
    saved_views.get,
    saved_views.delete,
    lambda database, text: saved_views.rename(database, text, "name"),
]


@pytest.mark.parametrize("text", ["' OR 1=1 --", "'; DROP TABLE studies; --", "%", "\0", "incoming", "x" * 9_999])
def test_every_query_takes_its_argument_as_text(database: Database, text: str) -> None:
    for read in READS:
        try:
            rows = read(database, text)
        except (UnknownStudy, ShareError, ViewError):
            rows = None
        assert rows is None or len(rows) == 0
    assert_untouched(database)


def test_a_beginning_of_an_id_is_taken_as_text(database: Database) -> None:
    # The empty text, which comes first, is the beginning of both ids.
    for text in (*HOSTILE, "\udcff"):
        with pytest.raises(UnknownStudy):
            studies.find_study(database, text)


@pytest.mark.parametrize("query", [*HOSTILE, "SELECT 1", "(.*a){30}"], ids=lambda text: ascii(text)[:20])
def test_a_search_is_taken_as_text(query: str) -> None:
    is_match = words.matches(query, "ResNet-20 on CIFAR-10, 0.1")
    assert is_match is (not query.split())


def test_the_database_opens_no_other_file_and_no_variable(database: Database, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    incoming_frame = pa.table({"a": [1]})
    statements = [
        f"SELECT * FROM '{secret}'",
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM read_text('{secret}')",
        f"SELECT * FROM glob('{tmp_path}/*')",
        f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
        f"ATTACH '{tmp_path / 'other.duckdb'}'",
        f"EXPORT DATABASE '{tmp_path / 'out'}'",
        "SELECT * FROM 'https://evil.example/x.parquet'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SELECT * FROM incoming_frame",
    ]
    for opened in (database.reading, database.writing):
        for statement in statements:
            with pytest.raises(duckdb.Error), opened() as connection:
                connection.execute(statement).fetchall()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv"]
    assert incoming_frame.num_rows == 1


@pytest.mark.parametrize(
    "key", ["s", "v", "n", "d", "pr", "lr", "st", "by", "c", "m", "b", "x", "z", "at", "q", "sp", "p"]
)
def test_parameters_of_an_address_are_read_or_ignored(key: str) -> None:
    for text in HOSTILE:
        state, problems = decode({key: text}, [ID, OTHER])
        assert set(state.studies) <= {ID, OTHER}
        assert decode(encode(state), [ID, OTHER])[0] == state
        assert all(len(problem) < 300 for problem in problems)


def tokens(token: str) -> Iterator[str]:
    yield from HOSTILE
    yield from (
        token[:-1],
        token + "=",
        token + "\0",
        token.swapcase(),
        token[::-1],
        f" {token}",
        f"{token} ",
        "a" * 43,
    )


def test_a_link_opens_with_its_token_alone_and_shows_its_studies_alone(database: Database) -> None:
    created, token = shared_links.create(database, [ID])
    ended = shared_links.create(database, [ID], expires_at=datetime.now(UTC) + timedelta(milliseconds=1))[1]
    revoked, dead = shared_links.create(database, [OTHER])
    shared_links.revoke(database, revoked.share_id)
    for wrong in (*tokens(token), ended, dead, created.share_id):
        assert shared_links.find(database, wrong) is None
    link = shared_links.find(database, token)
    assert link is not None
    assert link.study_ids == (ID,)
    # The view names a study beyond those of the link.
    state, problems = from_query(f"s={ID}~{OTHER}", link.study_ids)
    assert state.studies == (ID,)
    assert len(problems) == 1
    # Only the hash of a token is saved.
    with database.reading() as connection:
        assert token not in str(connection.execute("SELECT * FROM shares").fetchall())


def test_the_command_line_takes_a_beginning_of_an_id_as_text(home: Path) -> None:
    del home
    with serving(settings()):
        launch.launch(parse_study(tiny_study().model_dump()))
        for text in (*HOSTILE[1:], "\udcff"):
            with pytest.raises(UnknownStudy):
                launch.find(text)
