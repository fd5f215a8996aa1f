import pandas as pd
import pytest

from app.state.cache import Marker, cached

marker: Marker = (0,)
calls: list[object] = []


@pytest.fixture(autouse=True)
def new_marker() -> None:
    global marker
    marker = (marker[0] + 1,)
    calls.clear()


def of_all() -> Marker:
    return marker


def of_study(study_id: str) -> Marker:
    return (*marker, study_id.upper())


@cached(of_all, max_entries=4)
def copied(rows: int) -> pd.DataFrame:
    """Count up."""
    calls.append(rows)
    return pd.DataFrame({"n": range(rows)})


@cached(of_study, max_entries=4, shared=True)
def shared(study_id: str, _rows: int = 1) -> list[int]:
    calls.append((study_id, _rows))
    return list(range(_rows))


@cached(ttl=60.0)
def by_time(value: object) -> object:
    calls.append(value)
    return value


@cached(of_all)
def failing() -> None:
    calls.append("failing")
    raise ValueError("no answer")


def test_an_answer_is_cached_until_its_marker_changes() -> None:
    global marker
    assert len(copied(3)) == len(copied(3)) == 3
    assert calls == [3]
    marker = (*marker, "a new result")
    copied(3)
    assert calls == [3, 3]
    assert shared("one") == shared("one") == [0]
    assert calls[2:] == [("one", 1)]


def test_every_argument_has_its_own_answer() -> None:
    # Streamlit ignores arguments whose names begin with an underscore, unless the marker precedes them.
    assert (len(copied(1)), len(copied(2))) == (1, 2)
    assert shared("one") == shared("two") == [0]
    assert calls == [1, 2, ("one", 1), ("two", 1)]


def test_answers_are_copies_unless_they_are_shared() -> None:
    first = copied(2)
    first["n"] = 7
    assert copied(2)["n"].tolist() == [0, 1]
    assert copied(2) is not copied(2)
    assert shared("one") is shared("one")


def test_functions_do_not_share_answers() -> None:
    assert isinstance(by_time(3), int)
    assert isinstance(copied(3), pd.DataFrame)
    assert calls == [3, 3]


def test_an_exception_is_not_cached() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no answer"):
            failing()
    assert calls == ["failing", "failing"]


def test_the_function_keeps_its_name_and_docstring() -> None:
    assert (copied.__name__, copied.__doc__) == ("copied", "Count up.")
