"""The terms of the glossary, and links to them in other texts."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import quote

from app import words
from engine.registry import NETWORKS, PRUNERS, STARTS

_FILE = Path(__file__).with_name("terms.toml")
# The parameter of the glossary's address that names a term.
TERM = "term"
# These words mean something else in most sentences.
_ORDINARY = {"band", "claim", "random"}


@dataclass(frozen=True)
class Term:
    """A term, the paper's symbol for it (empty if it has none), and its meaning in sentences."""

    name: str
    symbol: str
    meaning: str


def terms() -> tuple[Term, ...]:
    """Return the terms of the file and the starts, pruners and networks of the registry, in alphabetical order."""
    starts = [
        Term(start.title, start.symbol, _sentences("A start", start.about, start.origin)) for start in STARTS.values()
    ]
    pruners = [Term(pruner.title, "", _sentences("A pruner", pruner.about)) for pruner in PRUNERS.values()]
    networks = [Term(network.title, "", _sentences("A network", network.about)) for network in NETWORKS.values()]
    families = [Term(family.title, "", _sentences("Networks", family.about)) for family in NETWORKS.families]
    return tuple(sorted([*_written(), *starts, *pruners, *networks, *families], key=lambda term: term.name.lower()))


@cache
def _written() -> tuple[Term, ...]:
    return tuple(Term(**entry) for entry in tomllib.loads(_FILE.read_text(encoding="utf-8"))["term"])


def _sentences(kind: str, about: str, origin: str = "") -> str:
    source = f"Source: {origin}." if origin else ""
    return " ".join(sentence for sentence in (f"{kind}.", about, source) if sentence)


def linked(text: str, but: str = "") -> str:
    """Return text as Markdown in which each term of the glossary is a link where it stands first; but: not this one.

    All else is escaped as by `words.marked`.
    """
    names = {term.name.lower(): term.name for term in terms() if term.name not in _ORDINARY}
    parts, end, seen = [], 0, {but}
    for match in _pattern(tuple(names)).finditer(text):
        name = names[match["name"].lower()]
        if name not in seen:
            seen.add(name)
            # A relative address is right below a path, too.
            link = f"[{words.marked(match[0])}](glossary?{TERM}={quote(name)})"
            parts += [words.marked(text[end : match.start()]), link]
            end = match.end()
    return "".join([*parts, words.marked(text[end:])])


@lru_cache(maxsize=8)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return what matches a term as a whole word, in singular or plural; the longest of several is the match."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?P<name>{'|'.join(map(re.escape, longest_first))})s?(?![\w-])", re.IGNORECASE)
