"""Durations, sizes and counts in words."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tasks.units import clock, duration, plural, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (0.2, "1 s"), (59, "59 s"), (71, "1 min 11 s"), (3700, "1 h 01 min"), (200_000, "2 d 7 h")],
)
def test_durations_have_their_largest_two_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KiB"),
        (347 * 2**20, "347 MiB"),
        (1020 * 2**20, "1.0 GiB"),
        (23.5 * 2**30, "23.5 GiB"),
        (1007 * 2**30, "1,007 GiB"),
    ],
)
def test_sizes_have_their_largest_unit(count: float, text: str) -> None:
    assert size(count) == text


def test_counts_have_the_singular_or_plural() -> None:
    assert plural(1, "training") == "1 training"
    assert plural(0, "study", "studies") == "0 studies"
    assert plural(2048, "training") == "2,048 trainings"


NOW = datetime(2026, 12, 30, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (float("inf"), "—"),
        (32 * 60, "about 14:32"),
        (10 * 3600, "about 00:00 on 31 December"),
        (3 * 86_400, "about 14:00 on 2 January 2027"),
        (1e15, "unknown"),
    ],
)
def test_the_end_is_a_clock_time_with_the_date_unless_that_is_today(seconds: float | None, text: str) -> None:
    assert clock(seconds, now=NOW, zone=ZoneInfo("UTC")) == text


def test_the_end_is_in_the_zone_of_the_reader() -> None:
    assert clock(60, ZoneInfo("Asia/Tokyo"), NOW) == "about 23:01"
