"""What a faulty number of the form probably means: 50 is 0.5 where a fraction is due, 0,1 is 0.1, 10,000 is 10000."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.new_study.draft import CHOICES, FOLDER, LISTS, Draft, check, is_whole

# Fields of values between 0 and 1, which many write in percent.
FRACTIONS = ("sparsities", "overlap_p", "round_rate", "recipe.momentum", "recipe.weight_decay", "recipe.decay")
MILESTONES = "recipe.milestones"
_INCREASING = ("sparsities", "overlap_p", MILESTONES)
_TEXTS = ("name", "note", FOLDER, *CHOICES)
_THOUSANDS = {"": 1, "k": 1_000, "m": 1_000_000}
# The most characters of an offered text that are shown.
LONGEST_SHOWN = 60
# The most numbers that a range such as 0-4 is written out to.
_MOST_IN_RANGE = 1_000
_COMMAS = re.compile(r"\d+,\d+")
_RANGE = re.compile(r"(\d{1,9})\s*(?:-|–|\.\.|:)\s*(\d{1,9})")


@dataclass(frozen=True)
class Offer:
    """A text that a field accepts in place of a faulty one; reason: how values of the field are written."""

    text: str
    reason: str

    @property
    def shown(self) -> str:
        """The text, cut if it is long."""
        return self.text if len(self.text) <= LONGEST_SHOWN else f"{self.text[:LONGEST_SHOWN]}…"

    @property
    def question(self) -> str:
        """Ask whether the text is meant: 'Write decimals with a point: use 0.1?'."""
        return f"{self.reason}: use {self.shown}?"


def offer(draft: Draft, field: str) -> Offer | None:
    """Return what the faulty text of a field probably means, None for other fields or where no guess is accepted."""
    faulty = draft.get(field)
    if field in _TEXTS or not isinstance(faulty, str) or not faulty.strip():
        return None
    for guess in _GUESSES:
        found = guess(field, _plain(faulty), draft)
        if found is None or found.text == faulty:
            continue
        if field not in check({**draft, field: found.text}).errors:
            return found
    if (plain := _plain(faulty)) != faulty and field not in check({**draft, field: plain}).errors:
        return Offer(plain, "Write numbers without brackets and quotes")
    return None


def _plain(text: str) -> str:
    """Return text without what is copied along with numbers: brackets, quotes, typographic minus signs."""
    return re.sub(r"[\[\](){}'\"]", "", text.replace("−", "-")).strip().strip(",;").strip()


def _items(text: str) -> list[str]:
    return [item for item in re.split(r"[\s,;]+", re.sub(r"\s+%", "%", text)) if item]


def _joined(numbers: Iterable[float | int | str]) -> str:
    return ", ".join(number if isinstance(number, str) else f"{number:.12g}" for number in numbers)


def _percent(field: str, text: str, draft: Draft) -> Offer | None:
    """Read numbers with a percent sign, and those of 2 to 100 where a fraction is due, as percentages."""
    del draft
    items = [item.replace(",", ".") for item in ([text] if field not in LISTS else _items(text))]
    values: list[float] = []
    changed = False
    for item in items:
        try:
            value = float(item.rstrip("% "))
        except ValueError:
            return None
        in_percent = item.endswith("%") or (field in FRACTIONS and 2 <= value < 100)
        changed |= in_percent
        values.append(value / 100 if in_percent else value)
    values = sorted(set(values)) if field in _INCREASING else values
    return Offer(_joined(values), "Write fractions between 0 and 1, not percentages") if changed else None


def _epochs(field: str, text: str, draft: Draft) -> Offer | None:
    """Read milestones of 1 and more as epochs."""
    total = str(draft["recipe.epochs"]).strip()
    items = _items(text)
    if field != MILESTONES or not total.isdigit() or not all(item.isdigit() for item in items):
        return None
    return Offer(_joined(f"{item}/{total}" for item in items), f"Milestones are fractions of the {total} epochs")


def _decimal_commas(field: str, text: str, draft: Draft) -> Offer | None:
    """Read 0,1 as 0.1, and 0,1; 0,01 as two numbers."""
    del draft
    parts = [part for part in re.split(r"[\s;]+", text) if part] if field in LISTS else [text]
    if not any(_COMMAS.fullmatch(part) for part in parts):
        return None
    return Offer(_joined(part.strip(",").replace(",", ".") for part in parts), "Write decimals with a point")


def _whole(field: str, text: str, draft: Draft) -> Offer | None:
    """Read 10,000 and 10 000, 10k and 1e4 as whole numbers."""
    del draft
    if not is_whole(field):
        return None
    grouped = re.fullmatch(r"(\d{1,3})((?:[,. '’\u00a0\u202f]\d{3})+)", text)
    if grouped:
        return Offer(re.sub(r"\D", "", text), "Write whole numbers in digits alone")
    short = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*([km]?)", text.lower())
    value = float(short[1]) * _THOUSANDS[short[2]] if short else 0.5
    return Offer(f"{value:.0f}", "Write whole numbers in digits alone") if value.is_integer() and value < 1e12 else None


def _range(field: str, text: str, draft: Draft) -> Offer | None:
    """Read 0-4, 0..4 and 0:4 as all whole numbers between."""
    del draft
    found = _RANGE.fullmatch(text)
    if field != "seeds" or not found or not 0 <= int(found[2]) - int(found[1]) < _MOST_IN_RANGE:
        return None
    return Offer(_joined(range(int(found[1]), int(found[2]) + 1)), "List seeds one by one")


def _in_order(field: str, text: str, draft: Draft) -> Offer | None:
    """Sort values, and list each once."""
    del draft
    if field not in LISTS:
        return None
    try:
        once = {float(item): item for item in reversed(_items(text))}
    except ValueError:
        return None
    if field in _INCREASING:
        return Offer(
            _joined(once[value] for value in sorted(once)), "List values from the smallest to the largest, each once"
        )
    return Offer(_joined(reversed(once.values())), "List each value once")


_GUESSES: tuple[Callable[[str, str, Draft], Offer | None], ...] = (
    _epochs, _percent, _whole, _decimal_commas, _range, _in_order,
)  # fmt: skip
