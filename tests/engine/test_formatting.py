import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formatting import listing, percent, percent_value


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.386, "38.6 %"),
        (0.9, "90 %"),
        (0.05, "5 %"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.9999, "99.99 %"),
        (0.99985, "99.985 %"),
        (1 - 1e-7, "99.99999 %"),
        (0.8574, "85.74 %"),
        (1 - 0.3, "70 %"),
        (1 / 3, "33.33 %"),
        (1e-6, "0.0001 %"),
        (0.386012, "38.6 %"),
    ],
)
def test_percentages_have_as_many_digits_as_they_need(fraction: float, text: str) -> None:
    assert percent(fraction) == text


@given(st.floats(1e-9, 1 - 1e-9))
def test_only_0_reads_0_percent_and_only_1_reads_100_percent(fraction: float) -> None:
    assert percent(fraction) not in ("0 %", "100 %")
    assert percent_value(fraction) == pytest.approx(100 * fraction, rel=1e-3)
    assert 100 - percent_value(fraction) == pytest.approx(100 * (1 - fraction), rel=1e-3, abs=1e-12)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_percentages_rise_with_their_fractions(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert float(percent(low).removesuffix(" %")) <= float(percent(high).removesuffix(" %")) + 1e-9


def test_a_list_of_names_reads_as_a_phrase() -> None:
    assert [listing(list("abc"[:count])) for count in range(4)] == ["", "a", "a and b", "a, b and c"]
