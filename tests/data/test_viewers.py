"""What the viewers of a link read of the database, table by table."""

import json

import duckdb
import pytest

from data.database.database import Database, DatabaseError
from data.queries import results, studies
from data.shared_links import Anonymous, create
from data.viewers import OTHER_ERROR, WHO_KNOWS, ViewersDatabase, local_name, shown_folders
from engine.study.spec import parse_study, read_study
from tests.app.made_study import record

STUDY, OTHER = "made-study-0001", "made-study-0002"
CATS, MORE_CATS = "folder:/home/alice/data/cats", "folder:/mnt/carol lab/cats/"
TRACE = 'KeyError: 5\n\nTraceback (most recent call last):\n  File "/home/alice/ticketscope/engine/x.py", line 3'
# The study is called after Alice, its note after Bob, and workers and their host are worker-1, worker-2 and laptop.
SECRETS = ("/home/", "/mnt/", "carol", "laptop", "worker-1", "worker-2", "traceback", "keyerror", ".py")
PEOPLE = ("alice", "bob", "secret")
# Tables that viewers do not need: in place of the first three, they read `listed`.
HIDDEN = {"studies", "descriptions", "trash", "meta", "views", "shares"}
LINKS = (None, Anonymous(), Anonymous("Submission 12"), Anonymous("Submission 12", with_notes=True))


@pytest.fixture
def recorded(database: Database) -> Database:
    """Two studies on folders, some stages of which failed; links show the first."""
    values = {"networks": ["lenet300"], "seeds": [0], "sparsities": [0.5], "recipe": {"epochs": 2}}
    study = parse_study({**values, "name": "Alice's", "note": "for Bob", "datasets": [CATS, MORE_CATS, "digits"]})
    record(database, study, lambda index, stage: ("done", "failed", "running")[index % 3], STUDY, error=TRACE)
    other = parse_study({**values, "name": "Secret", "datasets": ["folder:/home/alice/secret"], "seeds": [7]})
    record(database, other, lambda index, stage: "done", OTHER)
    with database.writing() as connection:
        # Half of the results were imported.
        connection.execute(
            "INSERT INTO origins SELECT fingerprint, 'Alice''s lab', 'worker-1', 'laptop', 'cuda:0 on laptop', "
            "'2026-11-20', '2026-11-21', '2026-11-22' FROM results WHERE fingerprint < '8'"
        )
    return database


def viewers(database: Database, anonymous: Anonymous | None = None, *study_ids: str) -> ViewersDatabase:
    share, _ = create(database, study_ids or [STUDY], anonymous=anonymous)
    return ViewersDatabase(database, share)


def tables(database: Database) -> dict[str, list[str]]:
    """Return the columns of every table that the database has."""
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'file' ORDER BY column_index"
        ).fetchall()
    columns: dict[str, list[str]] = {}
    for table, column in rows:
        columns.setdefault(table, []).append(column)
    return columns


def everything(database: Database, names: list[str]) -> str:
    """Return all rows of some tables as text."""
    with database.reading() as connection:
        return "\n".join(str(connection.execute(f"FROM {name}").fetchall()) for name in names)


@pytest.mark.parametrize("anonymous", LINKS)
def test_no_table_that_viewers_read_has_a_secret(recorded: Database, anonymous: Anonymous | None) -> None:
    names = sorted(set(tables(recorded)) - HIDDEN)
    whole = everything(recorded, names).lower()
    assert all(secret in whole for secret in (*SECRETS, *PEOPLE))
    seen = everything(viewers(recorded, anonymous), names).lower()
    people = {None: ("secret",), LINKS[1]: ("bob", "secret"), LINKS[3]: ("alice", "secret")}.get(anonymous, PEOPLE)
    assert [secret for secret in (*SECRETS, *people) if secret in seen] == []


def test_a_table_is_hidden_from_viewers_or_has_a_view_with_the_same_columns(recorded: Database) -> None:
    """A new table or column needs a decision: a line in data/viewers.py, or in HIDDEN."""
    seen = viewers(recorded)
    for table, columns in tables(recorded).items():
        with seen.reading() as connection:
            if table in HIDDEN:
                with pytest.raises(duckdb.CatalogException):
                    connection.execute(f"FROM {table}")
            else:
                description = connection.execute(f"FROM {table}").description
                assert [column[0] for column in description] == columns, table


def test_viewers_read_the_rows_of_their_studies_alone_and_write_nothing(recorded: Database) -> None:
    seen = viewers(recorded)
    assert list(studies.studies(seen)["study_id"]) == [STUDY]
    with pytest.raises(studies.UnknownStudy):
        studies.study(seen, OTHER)
    own = set(studies.stages(recorded, STUDY)["fingerprint"])
    for table in ("stages", "states", "results", "epochs", "overlap_counts", "retention"):
        with seen.reading() as connection:
            fingerprints = {row[0] for row in connection.execute(f"SELECT fingerprint FROM {table}").fetchall()}
        assert fingerprints
        assert fingerprints <= own
    with pytest.raises(DatabaseError, match="for reading"), seen.writing():
        pass
    assert len(studies.studies(ViewersDatabase(recorded, None))) == 0


def test_an_owner_reads_the_whole_after_a_viewer(recorded: Database) -> None:
    names = sorted(set(tables(recorded)) - HIDDEN)
    before, seen = everything(recorded, names), viewers(recorded)
    assert everything(seen, names) != before
    assert everything(recorded, names) == before


def test_folders_keep_their_names_and_never_share_one(recorded: Database) -> None:
    record_ = studies.study(viewers(recorded), STUDY)
    assert record_.study.datasets == ("folder:cats", "folder:cats 2", "digits")
    assert set(studies.stages(viewers(recorded), STUDY)["dataset"]) == set(record_.study.datasets)
    anonymous = viewers(recorded, Anonymous())
    assert studies.study(anonymous, STUDY).study.datasets == ("folder:dataset", "folder:dataset 2", "digits")
    assert shown_folders(anonymous) == {CATS: "folder:dataset", MORE_CATS: "folder:dataset 2"}
    assert [local_name(anonymous, name) for name in ("folder:dataset 2", "digits")] == [MORE_CATS, "digits"]
    assert local_name(recorded, CATS) == CATS
    assert shown_folders(recorded) == {}
    both = viewers(recorded, None, STUDY, OTHER)
    assert set(shown_folders(both).values()) == {"folder:cats", "folder:cats 2", "folder:secret"}


def test_the_toml_says_that_paths_were_left_out_and_is_read_back(recorded: Database) -> None:
    seen = studies.study(viewers(recorded), STUDY)
    first, *rest = seen.toml.splitlines()
    assert first.startswith('# The paths of folders were left out. In place of "folder:cats", "folder:cats 2", write')
    assert not rest[0].startswith("#")
    assert read_study(seen.toml) == seen.study
    assert not studies.study(recorded, STUDY).toml.startswith("#")


def test_a_title_replaces_names_and_is_numbered_where_there_are_several(recorded: Database) -> None:
    one = studies.study(viewers(recorded, Anonymous("Submission 12")), STUDY).study
    assert (one.name, one.note) == ("Submission 12", "")
    with_notes = studies.study(viewers(recorded, Anonymous(with_notes=True)), STUDY).study
    assert (with_notes.name, with_notes.note) == ("Alice's", "for Bob")
    several = studies.studies(viewers(recorded, Anonymous("Submission 12"), STUDY, OTHER)).set_index("study_id")
    assert dict(several["name"]) == {STUDY: "Submission 12 1", OTHER: "Submission 12 2"}


def test_workers_and_hosts_are_numbered(recorded: Database) -> None:
    stages = studies.stages(viewers(recorded), STUDY)
    assert set(stages["worker"].dropna()) == {"worker 1", "worker 2"}
    assert set(stages["host"].dropna()) == {"host 1"}
    assert list(stages["attempt"]) == list(studies.stages(recorded, STUDY)["attempt"])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TRACE, OTHER_ERROR),
        ("OutOfMemoryError: CUDA out of memory on laptop", "Memory ran out."),
        ("memory ran out beside others: /home/alice", "Memory ran out."),
        ("Its worker died 5 times without finishing an epoch; the last was laptop-3:1.", "Its workers died before"),
        (
            "It is of another version of the engine, whose results differ; launch again.",
            "Its workers had another",
        ),
        ("DatasetError: /home/alice/data/cats/train/a/1.png is damaged", "Its images could not be read."),
        ("ArtifactLost: s3://alice-bucket/weights is lost", "Weights that it needs"),
        ("OSError: [Errno 28] No space left on device: '/home/alice'", "A disk was full."),
        ("\n\n/home/alice", OTHER_ERROR),
    ],
)
def test_an_error_becomes_a_sentence_without_names(recorded: Database, error: str, sentence: str) -> None:
    with recorded.writing() as connection:
        connection.execute("UPDATE states SET error = ? WHERE error IS NOT NULL", [error])
    [seen] = set(studies.stages(viewers(recorded), STUDY)["error"].dropna())
    assert seen.startswith(sentence)
    assert seen.endswith(WHO_KNOWS)
    assert not any(name in seen for name in ("alice", "laptop", "/"))


def test_an_anonymous_link_names_official_builds_of_pytorch_alone(recorded: Database) -> None:
    def seen(version: str, anonymous: Anonymous | None) -> str:
        with recorded.writing() as connection:
            connection.execute("UPDATE results SET versions = ?", [json.dumps({"engine": "1", "torch": version})])
        return str(results.provenance(viewers(recorded, anonymous), STUDY)["versions"][0])

    for official in ("2.13.0", "2.13.0+cpu", "2.13.0+cu130", "2.13.0+rocm6.4"):
        assert seen(official, Anonymous()) == f"engine 1, torch {official}"
    assert seen("2.13.0a0+alicelab.git1f2e3d", Anonymous()) == "engine 1, torch 2.13.0a0"
    assert seen("2.13.0a0+alicelab.git1f2e3d", None) == "engine 1, torch 2.13.0a0+alicelab.git1f2e3d"


def test_a_strange_device_is_not_shown(recorded: Database) -> None:
    with recorded.writing() as connection:
        connection.execute("UPDATE states SET device = 'cuda:0 on laptop'; UPDATE results SET device = 'NVIDIA A100'")
    devices = studies.stages(viewers(recorded, Anonymous()), STUDY)["device"]
    assert set(devices.dropna()) == {"NVIDIA A100"}
