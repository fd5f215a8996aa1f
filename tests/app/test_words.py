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


def test_many_values_are_summed_up() -> None:
    assert words.rates([0.1, 0.01]) == "learning rates 0.01, 0.1"
    assert words.rates([0.5]) == "learning rate 0.5"
    assert words.rates([0.79, *(number / 10_000 for number in range(1, 40))]) == "40 learning rates, 0.0001 to 0.79"
    assert words.listed(["a", "b"], "dataset") == "a, b"
    assert words.listed(["a"] * 15, "dataset") == "15 datasets"
    assert words.span([2.04, 1.0, 3.25], ".1f") == "1.0 to 3.2"
    assert words.span([2.01, 2.02], ".1f") == "2.0"


def test_the_symbols_of_the_paper_are_typeset_and_other_letters_stay() -> None:
    assert words.html("R_p(θ₀, θ_T) < 1") == "<i>R</i><sub><i>p</i></sub>(θ<sub>0</sub>, θ<sub><i>T</i></sub>) &lt; 1"
    assert words.marked("a_b of R_p") == r"a\_b of $R_p$"
    assert words.marked("(θ_T⊙m)_T") == r"\($\theta_T$⊙m)$_T$"
    assert words.typeset('<p title="R_p">θ_t</p>') == '<p title="R_p">θ<sub><i>t</i></sub></p>'
    svg = words.typeset_svg("<text>R_p = p</text>")
    assert svg.startswith('<text><tspan font-style="italic">R</tspan>')
    assert words.typeset_svg("<text>STAR_p, θ_TT</text>") == "<text>STAR_p, θ_TT</text>"
