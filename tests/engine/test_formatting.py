import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formatting import can_be_seen, listing, percent, percent_value, study_name


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


@pytest.mark.parametrize(
    "text",
    ["", " ", "\t\n", "\u00a0\u2003\u3000", "\u200b\u200c\u200d\u2060\ufeff", "\u00ad", "\u3164\u2800", "\u0301\ufe0f"],
)
def test_spaces_fillers_and_characters_without_a_width_cannot_be_seen(text: str) -> None:
    assert not can_be_seen(text)
    assert study_name(text, "3f2a") == "study 3f2a"


@pytest.mark.parametrize("text", ["a", " 1 ", "票", "-", "🎟", "e\u0301", "\u200bx"])
def test_letters_digits_and_signs_can_be_seen(text: str) -> None:
    assert can_be_seen(text)
    assert study_name(text, "3f2a") == text.strip()
