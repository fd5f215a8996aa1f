import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import duckdb
import pytest

from data.database.database import Database, DatabaseError
from data.database.events import Event, EventError
from data.queries import points, studies
from data.queries.selection import OneStudy
from tests.data.made_results import STUDY_ID, Stream, contents, made_plan, made_results, whole_study


def test_a_study_recorded_event_by_event_equals_one_recorded_at_once(tmp_path: Path) -> None:
    events = whole_study(Stream(), made_plan(seeds=[0], learning_rates=[0.1], pruners=["oneshot"], sparsities=[0.5]))
    at_once, one_by_one = Database(tmp_path / "at_once.duckdb"), Database(tmp_path / "one_by_one.duckdb")
    assert at_once.record(events) == len(events)
    for event in events:
        one_by_one.record([event])
    assert contents(at_once.path) == contents(one_by_one.path)


@pytest.mark.parametrize("seed", range(3))
def test_events_may_arrive_twice_and_in_any_order(tmp_path: Path, seed: int) -> None:
    events = whole_study(Stream(), made_plan())
    ordered, shuffled = Database(tmp_path / "ordered.duckdb"), Database(tmp_path / "shuffled.duckdb")
    ordered.record(events)
    draw = random.Random(seed)
    mixed = [*events, *draw.sample(events, len(events) // 2)]
    draw.shuffle(mixed)
    while mixed:
        count = draw.randint(1, 40)
        shuffled.record(mixed[:count])
        del mixed[:count]
    for name, rows in contents(ordered.path).items():
        assert len(rows) == len(contents(shuffled.path)[name]), name
    assert points.accuracy(ordered, OneStudy(STUDY_ID)).equals(points.accuracy(shuffled, OneStudy(STUDY_ID)))
    assert list(studies.stages(shuffled, STUDY_ID)["state"].unique()) == ["done"]


def test_a_bad_event_is_named_and_none_of_its_batch_is_written(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    bad = stream.event("stage", fingerprint="../../etc", state="done", attempt=1, at="2026-01-01T00:00:00+00:00")
    with pytest.raises(EventError, match="fingerprint") as caught:
        database.record([stream.launched(planned), bad])
    assert caught.value.event is bad
    assert studies.studies(database).empty
    for event in (Event("1-0", "gossip", {}), Event("x", "stage", {}), stream.event("result", fingerprint="a" * 32)):
        with pytest.raises(EventError):
            database.record([event])


def test_a_database_of_a_newer_version_is_refused_and_unchanged(database: Database) -> None:
    database.ensure()
    with duckdb.connect(str(database.path)) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'version'")
    before = database.path.read_bytes()
    with pytest.raises(DatabaseError, match=r"has version 999, this Ticketscope knows versions up to \d+; update"):
        studies.studies(Database(database.path))
    assert database.path.read_bytes() == before


def test_a_file_that_is_no_database_of_ticketscope_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE recipes (title VARCHAR)")
    with pytest.raises(DatabaseError, match="recipes"):
        Database(path).ensure()
    path.write_bytes(b"no database at all")
    with pytest.raises(DatabaseError, match="cannot open the database"):
        Database(path).ensure()


def write_without_end(path: Path) -> None:
    database, stream, planned = Database(path), Stream(), made_plan()
    database.record([stream.launched(planned)])
    results = list(made_results(planned).values())
    while True:
        for result in results:
            database.record(stream.life(result))


def read_without_end(path: Path, errors) -> None:
    database = Database(path)
    while True:
        try:
            studies.studies(database)
        except Exception as error:
            errors.put(repr(error))


@pytest.mark.faults
def test_a_writer_killed_at_any_moment_leaves_a_usable_database(tmp_path: Path) -> None:
    path, context = tmp_path / "store.duckdb", multiprocessing.get_context("spawn")
    Database(path).ensure()
    errors = context.Queue()
    reader = context.Process(target=read_without_end, args=(path, errors), daemon=True)
    reader.start()
    draw = random.Random(0)
    for _ in range(4):
        writer = context.Process(target=write_without_end, args=(path,), daemon=True)
        writer.start()
        deadline = time.monotonic() + 60
        while not len(studies.studies(Database(path))) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(draw.uniform(0.1, 0.6))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert len(studies.stages(Database(path), STUDY_ID)) == len(made_plan().stages)
    assert reader.is_alive()
    os.kill(reader.pid, signal.SIGKILL)
    reader.join()
    assert errors.empty()
    Database(path).record(whole_study(Stream(), made_plan()))
    assert studies.study(Database(path), STUDY_ID).state == "done"
