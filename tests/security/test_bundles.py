"""A bundle with any byte or value changed is either refused with a message or read as it was."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.bundles import contents
from data.bundles.format import BundleError
from data.database.database import Database
from data.database.events import Event, parse
from tests.data.bundles.made_bundles import exported, members, rewritten
from tests.data.made_results import made_plan
from tests.security.generated import CASES, JSON, assert_message, fuzz

# Each case reads a whole bundle.
FUZZ = settings(fuzz, max_examples=CASES // 10 or 60)
PLAN = made_plan(
    pruners=["admm"], sparsities=[0.5], starts=["finetune"], learning_rates=[0.1], seeds=[0], recipe={"epochs": 2}
)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return exported(Database(Path(tmp_path_factory.mktemp("bundle")) / "made.duckdb"), PLAN)


def read(content: bytes) -> list[tuple[str, Any]]:
    """Return the events by which an import of a bundle would reach the database."""
    bundle = contents.read(io.BytesIO(content), "study.zip")
    bundle.check()
    results = [("result", {"fingerprint": key, "result": bundle.result(key).to_json()}) for key in bundle.finished]
    return [("launched", bundle.body), *results]


def assert_refused_or_recordable(content: bytes) -> list[tuple[str, Any]] | None:
    """Return the events of a bundle, all of which the database accepts; None if it is refused with a message."""
    try:
        events = read(content)
    except BundleError as error:
        assert_message(error, 1_500)
        return None
    for kind, body in events:
        parse(Event("1-0", kind, body))
        json.dumps(body, allow_nan=False)
    return events


@FUZZ
@given(st.data())
def test_a_bundle_with_bytes_changed_is_refused_or_what_it_was(content: bytes, data: st.DataObject) -> None:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        # The list of members and its end, which no hash covers, are changed as often as all the rest.
        first = data.draw(st.sampled_from([0, content.rindex(b"manifest.json") - 4_000, len(content) - 30]))
        place = data.draw(st.integers(max(0, first), len(content) - 1))
        changed[place] ^= data.draw(st.integers(1, 255))
    events = assert_refused_or_recordable(bytes(changed))
    assert events is None or events == read(content)


@FUZZ
@given(st.data())
def test_a_bundle_that_is_cut_or_repeated_is_refused_or_what_it_was(content: bytes, data: st.DataObject) -> None:
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    part = content[first:last]
    changed = data.draw(
        st.sampled_from([content[:first] + content[last:], content[:last] + part + content[last:], part])
    )
    events = assert_refused_or_recordable(changed)
    assert events is None or events == read(content)


@FUZZ
@given(st.data())
def test_a_bundle_with_any_values_is_refused_or_recordable(content: bytes, data: st.DataObject) -> None:
    """Whoever makes a bundle can also make its hashes."""
    files = members(content)
    name = data.draw(st.sampled_from(sorted(name for name in files if name.endswith(".json"))))
    values = json.loads(files[name])
    values.pop("blake2b", None)
    for _ in range(data.draw(st.integers(1, 3))):
        values = _replaced(values, data)
    assert_refused_or_recordable(rewritten(content, {name: json.dumps(values).encode()}))


def _replaced(values: Any, data: st.DataObject) -> Any:
    """Return values with one part, at any depth, replaced by anything, or left out."""
    keys = list(values) if isinstance(values, dict) else list(range(len(values))) if isinstance(values, list) else []
    if not keys or data.draw(st.integers(0, 5)) == 0:
        near = st.sampled_from([0, -1, 1e308, 2**63, True, "", "0" * 32, None, [], {}])
        return data.draw(near | JSON)
    key = data.draw(st.sampled_from(keys))
    if isinstance(values, dict) and data.draw(st.integers(0, 9)) == 0:
        return {name: value for name, value in values.items() if name != key}
    inner = _replaced(values[key], data)
    if isinstance(values, dict):
        return {**values, key: inner}
    return [*values[:key], inner, *values[key + 1 :]]
