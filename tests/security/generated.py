"""Input that is made up: how many cases, values of any kind, and good values with some replaced."""

import os
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("FUZZ_CASES", "0"))
fuzz = settings(
    max_examples=CASES or 100,
    # The tests use the same cases each time, `make fuzz` uses new ones.
    derandomize=not CASES,
    database=None,
    deadline=timedelta(seconds=20),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)

ODD = st.sampled_from(
    ["", "'", '"', "\\", "\0", "\n", "~", "%7E", "../", "<b>", ":red[", "1e999", "nan", "-0", "9" * 400, "digits"]
)
TEXT = st.text(max_size=60) | ODD | st.builds("".join, st.lists(ODD, max_size=5))
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=5)
VALUE = st.recursive(SCALAR, lambda v: st.lists(v, max_size=5) | st.dictionaries(TEXT, v, max_size=5), max_leaves=15)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda v: st.lists(v, max_size=5) | st.dictionaries(TEXT, v, max_size=5),
    max_leaves=20,
)


def assert_message(error: Exception, characters: int) -> None:
    """Assert that an error has a message of fewer than some characters."""
    assert 0 < len(str(error)) < characters


def mixed(good: Any, changes: dict[str, Any]) -> Any:
    """Return a copy of nested values with some replaced; a dotted name reaches into inner ones."""
    if not isinstance(good, dict):
        return good
    values = {name: mixed(value, {}) for name, value in good.items()}
    for path, value in changes.items():
        *folders, last = path.split(".")
        inside = values
        for folder in folders:
            inside = inside.setdefault(folder, {})
            if not isinstance(inside, dict):
                break
        else:
            inside[last] = value
    return values
