import itertools
from datetime import datetime

from data.database.events import Event, Parsed, StageChanged, parse
from data.database.order import StageState, merge, state_of
from tests.data.made_results import Stream

ONE = "1" * 32
RAN = {"worker": "laptop:7", "host": "laptop", "device": "cpu"}


def folded_state(*events: Parsed) -> StageState:
    """Return the state of a stage after some events in order."""
    states = [state_of(event) for event in events if isinstance(event, StageChanged)]
    folded = states[0]
    for state in states[1:]:
        folded = merge(folded, state)
    return folded


def events_of(*states: tuple[str, int]) -> list[StageChanged]:
    """Return one event for each (state, attempt), a second apart; only a start names the worker."""
    stream = Stream()
    events = [
        parse(stream.stage(ONE, state, attempt, second, **(RAN if state == "running" else {})))
        for second, (state, attempt) in enumerate(states)
    ]
    assert all(isinstance(event, StageChanged) for event in events)
    return [event for event in events if isinstance(event, StageChanged)]


def test_no_order_of_arrival_changes_the_state_of_a_stage() -> None:
    events = events_of(("queued", 1), ("running", 1), ("failed", 1), ("queued", 2), ("running", 2), ("done", 2))
    orders = {folded_state(*order) for order in itertools.permutations(events)}
    # The start of the last attempt may arrive before or after its end, but the outcome is always the same.
    assert {(state.state, state.attempt, state.revision) for state in orders} == {("done", 2, events[-1].revision)}
    in_order = folded_state(*events)
    assert (in_order.started_at, in_order.finished_at) == (events[4].at, events[5].at)
    assert (in_order.worker, in_order.host, in_order.device) == ("laptop:7", "laptop", "cpu")


def test_an_event_recorded_twice_changes_nothing() -> None:
    events = events_of(("queued", 1), ("running", 1), ("done", 1))
    for index in range(len(events)):
        assert folded_state(*events, events[index]) == folded_state(*events)


def test_a_second_done_event_keeps_the_time_and_worker_of_the_first() -> None:
    events = events_of(("running", 1), ("done", 1), ("done", 0))
    state = folded_state(*events)
    assert (state.finished_at, state.worker, state.attempt) == (events[1].at, "laptop:7", 1)
    assert state.revision == events[2].revision


def test_a_new_attempt_clears_error_worker_and_times() -> None:
    stream = Stream()
    failed = parse(stream.stage(ONE, "failed", 1, error="ValueError: loss", **RAN))
    queued = parse(stream.stage(ONE, "queued", 2))
    state = folded_state(failed, queued)
    assert (state.state, state.attempt) == ("queued", 2)
    assert (state.error, state.worker, state.started_at, state.finished_at) == (None, None, None, None)


def test_event_ids_are_ordered_as_numbers_and_not_as_text() -> None:
    body = {"fingerprint": ONE, "state": "queued", "attempt": 1, "at": "2026-01-01T00:00:00+00:00"}
    revisions = [parse(Event(number, "stage", body)) for number in ("999-0", "1000-9", "1000-10")]
    assert [folded_state(*order).revision for order in itertools.permutations(revisions)] == [
        revisions[-1].revision
    ] * 6


def test_times_of_another_zone_are_saved_as_utc() -> None:
    body = {"fingerprint": ONE, "state": "running", "attempt": 1, "at": "2026-01-01T00:00:00+02:00"}
    assert state_of(parse(Event("1-0", "stage", body))).started_at == datetime(2025, 12, 31, 22)
