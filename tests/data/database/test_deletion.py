"""A deleted study leaves nothing behind but what others have too, whatever is told of it again."""

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


def told(stream: Stream, planned: Plan, study_id: str) -> list[Event]:
    """Return the life of a study under an id."""
    events = whole_study(stream, planned)
    return [
        Event(event.id, event.kind, {**event.body, "study_id": study_id}) if event.kind == "launched" else event
        for event in events
    ]


def gone(stream: Stream, study_id: str, planned: Plan = ONE) -> Event:
    return stream.event("deleted", study_id=study_id, at="2026-01-02T00:00:00+00:00", stages=list(planned.stages))


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows but the mark that keeps a deleted study away."""
    return {name: sorted(found, key=repr) for name, found in contents(path).items() if name != "meta"}


def test_nothing_of_a_study_is_left_that_no_other_has(tmp_path: Path) -> None:
    stream = Stream()
    first, second = told(stream, ONE, "one"), told(stream, TWO, "two")
    both, alone = Database(tmp_path / "both.duckdb"), Database(tmp_path / "alone.duckdb")
    both.record([*first, *second])
    # What of the shared stages was told last is that of the second study, here and there.
    shared = ONE.stages.keys() & TWO.stages.keys()
    assert shared
    assert ONE.stages.keys() - shared
    alone.record([*[e for e in first if _fingerprint(e) in shared], *second])
    both.record([gone(stream, "one")])
    assert rows(both.path) == rows(alone.path)
    assert list(studies.studies(both)["study_id"]) == ["two"]
    both.record([gone(stream, "two", TWO)])
    assert all(not found for found in rows(both.path).values())


def _fingerprint(event: Event) -> object:
    return event.body.get("fingerprint")


@pytest.mark.parametrize("size", [7, 10_000])
def test_events_told_again_bring_nothing_back(database: Database, size: int) -> None:
    stream = Stream()
    events = [*told(stream, ONE, "one"), stream.event("cancelled", study_id="one", at="2026-01-02T00:00:00+00:00")]
    events.append(gone(stream, "one"))
    # As a recorder that dies between writing and acknowledging tells its last batch again.
    for begin in range(0, len(events), size):
        batch = events[begin : begin + size]
        database.record(batch)
        database.record(batch)
    assert all(not found for found in rows(database.path).values())
    # A launch that comes late is not one anew.
    database.record([event for event in events if event.kind in ("launched", "cancelled")])
    found = rows(database.path)
    assert not any(found[name] for name in ("studies", "study_stages", "roles", "cancellations", "stages"))


def test_stages_launched_again_under_another_id_stay(database: Database) -> None:
    stream = Stream()
    database.record([*told(stream, ONE, "one"), gone(stream, "one"), *told(stream, ONE, "again")])
    assert list(studies.studies(database)["study_id"]) == ["again"]
    assert studies.study(database, "again").state == "done"
    assert len(points.accuracy(database, OneStudy("again"))) == len(ONE.roles)


def test_links_end_with_what_they_show_and_lose_it_otherwise(database: Database) -> None:
    stream = Stream()
    database.record([*told(stream, ONE, "one"), *told(stream, TWO, "two")])
    _, alone = shared_links.create(database, ["one"])
    _, both = shared_links.create(database, ["one", "two"], "s=one,two")
    _, other = shared_links.create(database, ["two"])
    database.record([gone(stream, "one")])
    assert shared_links.find(database, alone) is None
    found = shared_links.find(database, both)
    assert found is not None
    assert found.study_ids == ("two",)
    assert shared_links.find(database, other) is not None


def test_a_study_never_heard_of_may_be_deleted(database: Database) -> None:
    database.record([gone(Stream(), "nobody")])
    database.record(whole_study(Stream(), ONE))
    assert studies.study(database, STUDY_ID).state == "done"


def test_every_table_with_a_stage_in_it_is_emptied(database: Database) -> None:
    """A table that is added later is not forgotten."""
    stream = Stream()
    database.record(told(stream, ONE, "one"))
    database.record([gone(stream, "one")])
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
