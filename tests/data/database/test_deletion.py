"""A deleted study leaves only the stages that other studies have too, also when its events arrive again."""

from pathlib import Path

import duckdb
import pytest

from data import shared_links
from data.database.database import Database
from data.database.events import Event
from data.queries import points, studies
from data.queries.selection import OneStudy
from engine.study.plan import Plan
from tests.data.made_results import STUDY_ID, Stream, contents, made_plan, whole_study

ONE = made_plan(seeds=[0], learning_rates=[0.1], pruners=["oneshot", "admm"], sparsities=[0.5])
TWO = made_plan(seeds=[0], learning_rates=[0.1], pruners=["oneshot"], sparsities=[0.5, 0.9])


def life(stream: Stream, planned: Plan, study_id: str) -> list[Event]:
    """Return all events of a study under an id."""
    events = whole_study(stream, planned)
    return [
        Event(event.id, event.kind, {**event.body, "study_id": study_id}) if event.kind == "launched" else event
        for event in events
    ]


def deleted(stream: Stream, study_id: str, planned: Plan = ONE) -> Event:
    return stream.event("deleted", study_id=study_id, at="2026-01-02T00:00:00+00:00", stages=list(planned.stages))


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows but those of meta, which mark the study as deleted."""
    return {name: sorted(records, key=repr) for name, records in contents(path).items() if name != "meta"}


def test_deletion_removes_the_stages_that_no_other_study_has(tmp_path: Path) -> None:
    stream = Stream()
    first, second = life(stream, ONE, "one"), life(stream, TWO, "two")
    both, alone = Database(tmp_path / "both.duckdb"), Database(tmp_path / "alone.duckdb")
    both.record([*first, *second])
    # In both databases the last events of the shared stages are those of the second study.
    shared = ONE.stages.keys() & TWO.stages.keys()
    assert shared
    assert ONE.stages.keys() - shared
    alone.record([*[e for e in first if _fingerprint(e) in shared], *second])
    both.record([deleted(stream, "one")])
    assert rows(both.path) == rows(alone.path)
    assert list(studies.studies(both)["study_id"]) == ["two"]
    both.record([deleted(stream, "two", TWO)])
    assert not any(rows(both.path).values())


def _fingerprint(event: Event) -> object:
    return event.body.get("fingerprint")


@pytest.mark.parametrize("size", [7, 10_000])
def test_events_that_arrive_again_restore_nothing(database: Database, size: int) -> None:
    stream = Stream()
    events = [*life(stream, ONE, "one"), stream.event("cancelled", study_id="one", at="2026-01-02T00:00:00+00:00")]
    events.append(deleted(stream, "one"))
    # A recorder that dies between writing and acknowledging records its last batch twice.
    for begin in range(0, len(events), size):
        batch = events[begin : begin + size]
        database.record(batch)
        database.record(batch)
    assert not any(rows(database.path).values())
    # A late event of the same launch does not launch the study again.
    database.record([event for event in events if event.kind in ("launched", "cancelled")])
    tables = rows(database.path)
    assert not any(tables[name] for name in ("studies", "study_stages", "roles", "cancellations", "stages"))


def test_stages_launched_again_under_another_id_stay(database: Database) -> None:
    stream = Stream()
    database.record([*life(stream, ONE, "one"), deleted(stream, "one"), *life(stream, ONE, "again")])
    assert list(studies.studies(database)["study_id"]) == ["again"]
    assert studies.study(database, "again").state == "done"
    assert len(points.accuracy(database, OneStudy("again"))) == len(ONE.roles)


def test_a_link_loses_a_deleted_study_and_ends_without_any(database: Database) -> None:
    stream = Stream()
    database.record([*life(stream, ONE, "one"), *life(stream, TWO, "two")])
    _, alone = shared_links.create(database, ["one"])
    _, both = shared_links.create(database, ["one", "two"], "s=one,two")
    _, other = shared_links.create(database, ["two"])
    database.record([deleted(stream, "one")])
    assert shared_links.find(database, alone) is None
    link = shared_links.find(database, both)
    assert link is not None
    assert link.study_ids == ("two",)
    assert shared_links.find(database, other) is not None


def test_an_unknown_study_may_be_deleted(database: Database) -> None:
    database.record([deleted(Stream(), "nobody")])
    database.record(whole_study(Stream(), ONE))
    assert studies.study(database, STUDY_ID).state == "done"


def test_deletion_empties_every_table_about_stages_and_studies(database: Database) -> None:
    """Fail where deletion forgets a table that was added later."""
    stream = Stream()
    database.record(life(stream, ONE, "one"))
    database.record([deleted(stream, "one")])
    with duckdb.connect(str(database.path), read_only=True) as connection:
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT DISTINCT table_name FROM duckdb_columns() WHERE "
                "column_name IN ('fingerprint', 'study_id') AND NOT internal"
            ).fetchall()
        ]
        assert len(tables) >= 10
        assert not [name for name in tables if connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()]
