"""A study's TOML, read within limits: the text may come from a stranger, a browser or a queue."""

import re
import tomllib
from typing import Any

# The paper's studies take 2,000 characters at most, one of 20,000 trainings written out seed by seed 100,000.
CHARACTERS = 200_000
# The limit for a study that was accepted when it was launched.
RECORDED_CHARACTERS = 100 * CHARACTERS
# Python's reader takes time that grows with the square of a key's parts; a study's have two.
KEY_PARTS = 20

_APART = re.compile(r'""".*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
# The quantifiers are possessive and a match begins at a word, so that no text makes this check itself slow.
_LONG_KEY = re.compile(rf"(?<![\w\"-])(?:[\w\"-]++[ \t]*+\.[ \t]*+){{{KEY_PARTS}}}")


class TomlError(ValueError):
    """A text that is no TOML, or is longer than a study can be."""


def read(text: str, characters: int = CHARACTERS) -> dict[str, Any]:
    """Return what a TOML text holds; TomlError, with the reason, where it is none or beyond the limits."""
    if len(text) > characters:
        raise TomlError(f"it has {len(text):,} characters; allowed: {characters:,}")
    if _LONG_KEY.search(_APART.sub('""', text)):
        raise TomlError(f"a key of it has more than {KEY_PARTS} parts; the longest of a study have two")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlError("it is nested too deep; a study has lists in tables, no more") from None
    except ValueError as error:
        # A ValueError too: Python reads no decimal number of more than 4,300 digits.
        raise TomlError(f"it is not valid TOML: {error}") from error
