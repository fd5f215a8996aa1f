"""Reading a study's TOML within limits, because the text may come from a stranger, a browser or a queue."""

import re
import tomllib
from typing import Any

# The paper's studies take at most 2,000 characters; a study of 20,000 trainings with all seeds listed takes 100,000.
CHARACTERS = 200_000
# The limit for a study that was accepted when it was launched.
RECORDED_CHARACTERS = 100 * CHARACTERS
# The time of Python's parser grows with the square of the parts of a key; the keys of a study have two.
KEY_PARTS = 20

_APART = re.compile(r'""".*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
# Possessive quantifiers and a match that begins at a word keep this check itself fast on any text.
_LONG_KEY = re.compile(rf"(?<![\w\"-])(?:[\w\"-]++[ \t]*+\.[ \t]*+){{{KEY_PARTS}}}")


class TomlError(ValueError):
    """A text that is no TOML, or is longer than a study can be."""


def read(text: str, characters: int = CHARACTERS) -> dict[str, Any]:
    """Return the values of a TOML text; TomlError, with the reason, for other text and beyond the limits."""
    if len(text) > characters:
        raise TomlError(f"it has {len(text):,} characters; allowed: {characters:,}")
    if _LONG_KEY.search(_APART.sub('""', text)):
        raise TomlError(f"one of its keys has more than {KEY_PARTS} parts; the keys of a study have at most two")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlError("it is nested too deep; a study has lists in tables and nothing deeper") from None
    except ValueError as error:
        # Besides faulty TOML, a decimal integer of more than 4,300 digits raises ValueError.
        raise TomlError(f"it is not valid TOML: {error}") from error
