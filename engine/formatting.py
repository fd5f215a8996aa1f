"""Numbers and lists of names as people read them."""

import math
import unicodedata
from collections.abc import Sequence

# Significant digits of a percentage, counted from the nearer of 0 and 100 %.
DIGITS = 4

# Letters and symbols that fonts draw as nothing: the fillers of Hangul, and the empty pattern of Braille.
_EMPTY = "\u115f\u1160\u2800\u3164\uffa0"


def percent(fraction: float) -> str:
    """Return a fraction as percent, rounded as by `percent_value`: '38.6 %', '99.99 %', '99.985 %'."""
    return f"{percent_value(fraction):.12f}".rstrip("0").rstrip(".") + " %"


def percent_value(fraction: float) -> float:
    """Return the number that `percent` writes: four significant digits, counted from the nearer of 0 and 100 %."""
    # At 0.999 ten times as many weights remain as at 0.9999, so the digits of the remainder must be shown.
    small = min(abs(fraction), abs(1 - fraction))
    if not 1e-12 < small < math.inf:
        return 100.0 * fraction
    decimals = DIGITS - 1 - math.floor(math.log10(100 * small) + 1e-9)
    return round(100 * fraction, max(0, min(decimals, 12)))


def number(value: float) -> str:
    """Return a setting such as a learning rate as people write it: 0.0005, 0.1, 1e-05."""
    return f"{value:g}"


def listing(values: Sequence[str]) -> str:
    """Return names as one phrase: 'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(values[:-1]), values[-1]]) if len(values) > 1 else "".join(values)


def can_be_seen(text: str) -> bool:
    """Return whether a text has a letter, a digit or a sign, and not only spaces and characters without a width."""
    return any(unicodedata.category(letter)[0] in "LNPS" and letter not in _EMPTY for letter in text)


def study_name(name: str, study_id: str) -> str:
    """Return the name of a study to show and to click on; older studies may have one that cannot be seen."""
    return name.strip() if can_be_seen(name) else f"study {study_id}"
