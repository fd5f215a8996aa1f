"""Generated events, results and messages raise no errors but the intended ones; cases as in test_fuzz.py."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from data.artifacts import result_schema
from data.database.events import Event, EventError, parse
from engine.study.results import StageResult
from engine.study.spec import to_toml
from tasks.queue import leases, transport
from tasks.queue.telemetry import read_event
from tests.machine import tiny_study
from tests.security.generated import JSON, TEXT, assert_message, fuzz, mixed
from tests.tasks.queue.test_leases import result

STAGE = {"fingerprint": "a" * 32, "state": "done", "attempt": 1, "at": "2026-11-20T12:00:00Z"}
BODIES: dict[str, dict[str, Any]] = {
    "stage": STAGE,
    "epochs": {"fingerprint": "a" * 32, "rows": [[1, 0.1, 1.0, 50.0, 1.0, 50.0, 0.1]]},
    "result": {"fingerprint": "a" * 32, "result": result("a" * 32).to_json()},
    "completed": {
        **{"fingerprint": "a" * 32, "mask": "0" * 32},
        "levels": [{"pair": "finetuned_initial", "layers": ["a"], "ps": [0.2], "expected": [1.0]}],
    },
    "cancelled": {"study_id": "s", "at": "2026-11-20T12:00:00Z"},
    "launched": {
        **{"study_id": "s", "name": "n", "toml": to_toml(tiny_study()), "at": STAGE["at"]},
        **{"stages": [], "roles": [], "reused": []},
    },
}
PLACES = [
    *STAGE,
    "rows",
    "result",
    "study_id",
    "toml",
    "name",
    "stages",
    "roles",
    "reused",
    "error",
    "worker",
    "mask",
    "levels",
]
PLACES += [f"result.{name}" for name in BODIES["result"]["result"]]


IDENTIFIERS = st.sampled_from(["1-0", "x", "", "1-", "٣-٣", "9" * 30 + "-1"])


@fuzz
@given(st.sampled_from([*BODIES]), st.dictionaries(st.sampled_from(PLACES), JSON, max_size=3), IDENTIFIERS)
def test_events_are_parsed_or_refused(kind: str, changes: dict[str, Any], identifier: str) -> None:
    body = mixed(BODIES[kind], changes)
    try:
        parse(Event(identifier, kind, body))
    except EventError as error:
        assert_message(error, 2_000)


@fuzz
@given(
    st.dictionaries(
        st.sampled_from(["kind", "body"]) | TEXT, TEXT | st.sampled_from(["stage", "{}", "[]", '{"at": 1}']), max_size=3
    )
)
def test_entries_of_the_stream_are_read_or_refused(fields: dict[str, str]) -> None:
    try:
        assert isinstance(read_event("1-0", fields), Event)
    except (ValueError, KeyError):
        return


@fuzz
@given(
    JSON
    | st.dictionaries(st.sampled_from([*BODIES["result"]["result"]]), JSON).map(
        lambda c: mixed(BODIES["result"]["result"], c)
    )
)
def test_results_are_accepted_whole_or_refused(values: Any) -> None:
    try:
        result_schema.check(values)
    except ValueError as error:
        assert_message(error, 1_000)
        return
    assert StageResult.from_json(values).to_json()["epochs"] == [list(row) for row in values["epochs"]]


@fuzz
@given(
    JSON
    | st.dictionaries(
        st.sampled_from(["body", "headers", "properties", "content-type", "headers.task", "properties.body_encoding"]),
        JSON,
    ).map(lambda c: mixed(transport.celery_message(leases.Message("a" * 32, 1), "q"), c))
)
def test_messages_are_read_as_a_stage_or_refused(delivered: Any) -> None:
    try:
        message = transport.read(delivered)
    except ValueError:
        return
    assert message == leases.Message("a" * 32, 1)
