"""Whether a result, as JSON, is what a stage measures: checked before it is recorded or handed to a study."""

import math
import re
from collections.abc import Mapping
from typing import Any

# What DuckDB's INTEGER holds, for what counts epochs, and what a float tells apart, for what counts weights.
EPOCHS, WEIGHTS = 2**31 - 1, 2**53
LETTERS = 1_000

_COLUMNS = ("text", "number", "whole", "whole", "whole")
# The last column of an overlap, which only some pairs have, and no result of before it was measured.
_EXPECTED = "number"
_EPOCH = ("epoch", *("number",) * 6)
_RETAINED = ("epoch", "number", "whole", "whole")
_SUPPORT = {"kept": "whole", "moved": "whole", "accuracy": "number", "oneshot_accuracy": "number"}


def check(values: Any) -> None:
    """Raise ValueError, with the place in it, where a value of a result is missing, of another kind or not finite."""
    if not isinstance(values, Mapping):
        raise ValueError(f"a result is a table, given {type(values).__name__}")
    for name, kind in {"fingerprint": "text", "device": "text", "sparsity": "number", "seconds": "number"}.items():
        _one(name, kind, values.get(name))
    if values.get("diverged") is not None:
        _one("diverged", "epoch", values["diverged"])
    if values.get("mask") is not None:
        mask_hash(values["mask"])
    versions = values.get("versions")
    if not isinstance(versions, Mapping) or len(versions) > LETTERS:
        raise ValueError("versions is no table of texts")
    for name, version in versions.items():
        _one("versions", "text", name)
        _one("versions", "text", version)
    _rows("epochs", _EPOCH, values.get("epochs"))
    _rows("retention", _RETAINED, values.get("retention", []))
    _column("residuals", "number", values.get("residuals"))
    if values.get("support") is not None:
        _support(values["support"])
    overlaps = values.get("overlaps")
    if not isinstance(overlaps, list):
        raise ValueError("overlaps is no list")
    for overlap in overlaps:
        _overlap(overlap)


def _support(support: Any) -> None:
    if not isinstance(support, Mapping) or support.keys() != _SUPPORT.keys():
        raise ValueError(f"support is a table of {', '.join(_SUPPORT)}")
    for name, kind in _SUPPORT.items():
        _one(name, kind, support[name])
    if support["moved"] > support["kept"]:
        raise ValueError(f"{support['moved']} weights moved of {support['kept']} that are kept")


def _overlap(overlap: Any) -> None:
    if not isinstance(overlap, Mapping) or not isinstance(overlap.get("counts"), list):
        raise ValueError("an overlap is a pair and counts")
    _one("pair", "text", overlap.get("pair"))
    counts = overlap["counts"]
    fewest = len(_COLUMNS)
    if counts and len(counts) not in (fewest, fewest + 1):
        raise ValueError(f"counts of an overlap are {fewest} or {fewest + 1} columns, given {len(counts)}")
    for kind, column in zip((*_COLUMNS, _EXPECTED), counts, strict=False):
        _column("counts", kind, column)
    if len({len(column) for column in counts}) > 1:
        raise ValueError("columns of an overlap differ in length")
    if len(counts) > fewest:
        for top, expected in zip(counts[3], counts[fewest], strict=True):
            if not 0 <= expected <= top:
                raise ValueError(f"counts holds an expected intersection of {expected!r}, outside 0 to {top}")


def mask_hash(value: Any) -> None:
    """Raise ValueError where a value is not what `engine.masks.content_hash` returns."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{32}", value):
        raise ValueError(f"mask holds {str(value)[:80]!r}; allowed: 32 hex digits in small letters")


def _rows(name: str, kinds: tuple[str, ...], rows: Any) -> None:
    if not isinstance(rows, list):
        raise ValueError(f"{name} is no list")
    for row in rows:
        epoch_row(row, kinds, name)


def epoch_row(row: Any, kinds: tuple[str, ...] = _EPOCH, name: str = "epochs") -> None:
    """Raise ValueError where a row, by default that of an epoch, does not hold numbers of the kinds it should."""
    if not isinstance(row, list | tuple) or len(row) != len(kinds):
        raise ValueError(f"a row of {name} is {len(kinds)} numbers, given {str(row)[:80]}")
    for kind, value in zip(kinds, row, strict=True):
        _one(name, kind, value)


def _column(name: str, kind: str, column: Any) -> None:
    if not isinstance(column, list):
        raise ValueError(f"{name} is no list")
    for value in column:
        _one(name, kind, value)


def _one(name: str, kind: str, value: Any) -> None:
    # The exact type, since True is a number to Python.
    given = type(value)
    if kind == "text":
        good = given is str and len(value) <= LETTERS and value.isprintable()
    elif kind == "number":
        good = (given is float and math.isfinite(value)) or (given is int and abs(value) <= WEIGHTS)
    else:
        good = given is int and 0 <= value <= (EPOCHS if kind == "epoch" else WEIGHTS)
    if not good:
        raise ValueError(f"{name} holds {str(value)[:80]!r}, which is no {kind}")
