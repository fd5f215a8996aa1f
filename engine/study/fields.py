"""The types of a study's fields, with their limits and checks."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, ValidationInfo

from engine.counts import P_GRID
from engine.entries import Table
from engine.formatting import can_be_seen
from engine.registry import NETWORKS, PRUNERS, STARTS

# These are control characters, halves of surrogate pairs, and marks that reverse the direction of the text after them.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# The key of a validation's context that says that the study was accepted before.
RECORDED = "recorded"


def costs(text: str) -> dict[str, JsonValue]:
    """Return, as extra data of a field, what its values cost in time, disk or trainings; the form and docs show it."""
    return {"costs": text}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the word "allowed", after the known name that is nearest to one, if any is near."""
    # The time to compare grows with the length of a name, which may come from a stranger.
    found = get_close_matches(name[:100].lower().replace("-", "_"), list(known), n=1)
    return f"did you mean {found[0]}? Allowed" if found else "allowed"


def choice(kind: str, table: Table[Any]) -> AfterValidator:
    """Return a check that a name is in a table; kind: what the names mean, for the error.

    A study that was accepted before may name what a plugin added that is gone.
    """

    def check(name: str, info: ValidationInfo) -> str:
        if name not in table and not is_recorded(info):
            guess = nearest(name, table.suggestions)
            raise ValueError(f"{name[:80]!r} is not a known {kind}; {guess}: {', '.join(table.allowed)}")
        return name

    return AfterValidator(check)


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that repeats a value."""
    if len(set(values)) != len(values):
        raise ValueError(f"each value may be listed once, given {', '.join(map(str, values))}")
    return values


def ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse values that do not increase."""
    if list(values) != sorted(set(values)):
        raise ValueError(f"must increase from one value to the next, given {', '.join(f'{v:g}' for v in values)}")
    return values


def is_recorded(info: ValidationInfo) -> bool:
    """Return whether what is read was accepted before, so that limits which came later do not count."""
    return bool(info.context and info.context.get(RECORDED))


def visible(text: str, info: ValidationInfo) -> str:
    """Refuse text with invisible characters."""
    if (unseen := UNSEEN.search(text)) and not is_recorded(info):
        raise ValueError(f"{text[:80]!r} contains the invisible character {unseen[0]!a}; leave it out")
    return text


def legible(name: str, info: ValidationInfo) -> str:
    """Refuse a name with invisible characters, and one in which nothing can be seen."""
    visible(name, info)
    if not can_be_seen(name) and not is_recorded(info):
        raise ValueError(f"{name[:80]!a} shows nothing; give a name with letters or digits")
    return name


def on_grid(p: float) -> float:
    """Return the p of the grid that a fraction means; refuse a fraction that is not on the grid."""
    # Rounding errors, as in 0.1 + 0.2, are no reason to refuse.
    near = min(P_GRID, key=lambda q: abs(p - q))
    if abs(near - p) > 1e-6:
        raise ValueError(f"{p:g} is not recorded; allowed: {P_GRID[0]:g} to {P_GRID[-1]:g} in steps of 0.05")
    return near


LearningRate = Annotated[float, Field(gt=0, le=10)]
Sparsity = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]

# The limit allows the path of any folder.
Name = Annotated[str, Field(min_length=1, max_length=4_200), AfterValidator(visible)]
Names = Annotated[tuple[Name, ...], AfterValidator(unique)]
Networks = Annotated[tuple[Annotated[str, choice("network", NETWORKS)], ...], AfterValidator(unique)]
LearningRates = Annotated[tuple[LearningRate, ...], AfterValidator(unique)]
Pruners = Annotated[tuple[Annotated[str, choice("pruner", PRUNERS)], ...], AfterValidator(unique)]
Starts = Annotated[tuple[Annotated[str, choice("start", STARTS)], ...], AfterValidator(unique)]
Sparsities = Annotated[tuple[Sparsity, ...], AfterValidator(ascending)]
Seeds = Annotated[tuple[Seed, ...], AfterValidator(unique)]
Ps = Annotated[tuple[Annotated[float, AfterValidator(on_grid)], ...], AfterValidator(ascending)]
