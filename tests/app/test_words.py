from datetime import UTC, datetime, timedelta

import pytest

from app import words

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("elapsed", "moment"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=5), "5 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=50), "01 October 2026"),
    ],
)
def test_moments_are_relative_until_they_are_old(elapsed: timedelta, moment: str) -> None:
    assert words.ago(NOW - elapsed, NOW) == moment


def test_percentages_have_the_digits_of_the_paper() -> None:
    assert [words.percent(s) for s in (0.386, 0.9, 0.05)] == ["38.6 %", "90 %", "5 %"]


def test_a_study_is_described_by_the_values_that_it_compares() -> None:
    description = words.compares(
        {
            "datasets": ["digits"],
            "networks": ["lenet300"],
            "learning_rates": [0.1, 0.01],
            "pruners": ["iterative", "admm"],
            "starts": ["reinit", "finetune"],
            "seeds": (0,),
        }
    )
    assert description == (
        "Digits · LeNet-300 · learning rates 0.01, 0.1 · iterative magnitude and ADMM · "
        "random reinit and fine-tune · 1 seed"
    )


def test_markdown_is_shown_as_written() -> None:
    assert words.plain("[a](b) :red[x] $y$") == "\\[a\\]\\(b\\) \\:red\\[x\\] \\$y\\$"


def test_search_matches_whole_numbers_and_parts_of_words() -> None:
    name = "fine-tune · iterative 90 % · learning rate 0.1 · seed 0"
    assert words.matches("fine iter 90 seed", name)
    assert words.matches("", name)
    assert not words.matches("seed 1", name)
    assert not words.matches("rewind", name)
