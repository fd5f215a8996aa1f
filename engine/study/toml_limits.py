"""Reading a study's TOML within limits, because the text may come from a stranger, a browser or a queue."""

import codecs
import re
import tomllib
from typing import Any

# The paper's studies take at most 2,000 characters; a study of 20,000 trainings with all seeds listed takes 100,000.
CHARACTERS = 200_000
# A character takes at most four bytes.
BYTES = 4 * CHARACTERS
# The limit for a study that was accepted when it was launched.
RECORDED_CHARACTERS = 100 * CHARACTERS
# The time of Python's parser grows with the square of the parts of a key; the keys of a study have two.
KEY_PARTS = 20

_APART = re.compile(r'""".*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
# Possessive quantifiers and a match that begins at a word keep this check itself fast on any text.
_LONG_KEY = re.compile(rf"(?<![\w\"-])(?:[\w\"-]++[ \t]*+\.[ \t]*+){{{KEY_PARTS}}}")


JSON = "it looks like JSON; a study is TOML, such as: seeds = [0, 1]"
YAML = "it looks like YAML; a study is TOML, such as: seeds = [0, 1]"
QUOTES = 'it has typographic quotes; put values in straight ones: "..."'

# What other editors and formats leave, with the sentence for each.
_OTHER_TEXTS = {
    JSON: re.compile(r"\A\s*[\[{]\s*(?:\"|\{|\}|\Z)"),
    YAML: re.compile(r"\A\s*(?:---|%YAML|[\w-]+:(?:\s|\Z))"),
    QUOTES: re.compile("=[^\"'\n#]*[\u2018-\u201f\u00ab\u00bb]"),
}


class TomlError(ValueError):
    """A text that is no TOML, or is longer than a study can be."""


def decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark; TomlError names another encoding."""
    if len(content) > BYTES:
        raise TomlError(f"it is too long; allowed: {CHARACTERS:,} characters")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or b"\0" in content[:1000]:
        raise TomlError("it is in UTF-16 or UTF-32, or no text at all; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TomlError(
            f"line {line} has a byte that is not UTF-8 (0x{content[error.start]:02x}); it may be in Latin-1 or "
            "Windows-1252: save it as UTF-8"
        ) from None


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
        cause = next((sentence for sentence, form in _OTHER_TEXTS.items() if form.search(text)), "it is not valid TOML")
        raise TomlError(f"{cause}: {error}") from error
