"""Checking the entries that a plugin adds, before a study can name them."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pkgutil import resolve_name
from typing import Any

from data.artifacts.store import FINGERPRINT
from data.datasets.registry import DATASETS, dataset_identity
from data.datasets.source import Source
from engine import code, registry
from engine.dataset import Shape
from engine.entries import NEEDS, Table
from engine.errors import UserError
from engine.formatting import can_be_seen
from engine.registry import NETWORKS, PRUNERS, SCORES, STARTS, Network, Pruner, Score, Start
from engine.study.fields import UNSEEN, nearest

# The tables by the kind of their entries, and the type of these.
TABLES: dict[str, Table[Any]] = {
    "network": NETWORKS,
    "score": SCORES,
    "pruner": PRUNERS,
    "start": STARTS,
    "dataset": DATASETS,
}
TYPES: dict[str, type] = {"network": Network, "score": Score, "pruner": Pruner, "start": Start, "dataset": Source}
# A name stands in study files, addresses and the names of files.
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
NAMES = "a lower-case letter, then at most 39 lower-case letters, digits and underscores"
# Tables and charts call a network that is not pruned so.
RESERVED = {"start": "dense"}
TITLE = 60

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int | None


# The entries that a plugin set or deleted, by kind and name, each with the line that did.
Changes = dict[tuple[str, str], Place | None]


class PluginError(UserError):
    """A plugin cannot be used; place: the line that is to blame, None if it is not known."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(message)
        self.place = place


def check(changes: Changes, before: Tables, owner: Callable[[str, str], str]) -> None:
    """Raise PluginError for the first entry that cannot be used.

    before: the tables without the plugin. owner: returns whose an entry is, by kind and name.
    """
    # Entries are compared with each other only once each is of its type.
    for look in (lambda kind, name: _faults_of_name(kind, name, before, owner), _faults_of_entry):
        for (kind, name), place in changes.items():
            try:
                fault = next(look(kind, name), None)
            except (UserError, ImportError, AttributeError) as error:
                fault = f"cannot be used: {error}"
            if fault is not None:
                raise PluginError(f"the {kind} {str(name)[:80]!r} {fault}", place)


def identity(kind: str, name: str) -> str:
    """Return what fingerprints know an entry's code by: "version 1" or "code ..."; "" for a pruner, which has none."""
    if kind == "pruner":
        return ""
    entry = TABLES[kind][name]
    if kind == "network":
        return registry.network_identity(name) or "version 1"
    if kind == "dataset":
        return f"content {dataset_identity(entry)}"
    return code.identity(entry.function, entry.version) or "version 1"


def _faults_of_name(kind: str, name: object, before: Tables, owner: Callable[[str, str], str]) -> Iterator[str]:
    table = TABLES[kind]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield f"cannot be named so; allowed: {NAMES}"
        return
    if name in before[kind]:
        yield f"is {owner(kind, name)}'s; give yours another name"
        return
    if any(family.find(name) is not None for family in table.families) or name == RESERVED.get(kind):
        yield "is Ticketscope's; give yours another name"
        return
    # One that was added and deleted again is no fault.
    if name in table and not isinstance(table[name], TYPES[kind]):
        yield f"is a {type(table[name]).__name__}; give a {TYPES[kind].__name__}"


def _faults_of_entry(kind: str, name: str) -> Iterator[str]:
    table = TABLES[kind]
    if name not in table:
        return
    entry = table[name]
    yield from _faults_of_texts(entry)
    yield from _faults_of_values(entry)
    if hasattr(entry, "title"):
        titles = {other: theirs.title for other, theirs in table.items() if other != name}
        if kind in RESERVED:
            titles[RESERVED[kind]] = RESERVED[kind]
        for other, title in titles.items():
            if title.casefold() == entry.title.casefold():
                yield f"has the title of {other}, {entry.title!r}, by which charts tell them apart; give another"
    if where := getattr(entry, "read" if kind == "dataset" else "builder" if kind == "network" else "function", None):
        # This raises where the code cannot be read or imported.
        identity(kind, name)
        if not callable(resolve_name(where)):
            yield f"names {where}, which is no function; give a function"


def _faults_of_texts(entry: Any) -> Iterator[str]:
    for name in ("title", "about", "symbol", "origin", "description", "identity"):
        text = getattr(entry, name, "")
        if not isinstance(text, str) or UNSEEN.search(text):
            yield f"has {text!r} as {name}; give a text without control characters"
    title = getattr(entry, "title", "none")
    if isinstance(title, str) and (not can_be_seen(title) or len(title) > TITLE):
        yield f"has the title {title[:80]!r}; give one of 1 to {TITLE} characters"


def _faults_of_values(entry: Any) -> Iterator[str]:
    version = getattr(entry, "version", None)
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        yield f"has {version!r} as version; give a whole number of 1 or more, or leave it out"
    if isinstance(entry, Network):
        if not isinstance(entry.arguments, tuple) or not all(isinstance(v, str | int) for v in entry.arguments):
            yield f"has {entry.arguments!r} as arguments; give a tuple of texts, whole numbers and flags"
    elif isinstance(entry, Score):
        if not isinstance(entry.needs, tuple) or not set(entry.needs) <= set(NEEDS):
            yield f"needs {entry.needs!r}; allowed: a tuple of {', '.join(map(repr, NEEDS))}"
    elif isinstance(entry, Pruner):
        for field in fields(entry):
            if isinstance(field.default, bool) and not isinstance(getattr(entry, field.name), bool):
                yield f"has {getattr(entry, field.name)!r} as {field.name}; give True or False"
        if entry.in_paper:
            yield "has in_paper set, which is for the pruners that the paper's claims are about; leave it out"
        for name, table in (("score", SCORES), ("resets_to", STARTS)):
            value = getattr(entry, name)
            if not isinstance(value, str) or value not in table:
                guess = nearest(str(value), table)
                yield f"has {value!r} as {name}, which does not exist; {guess}: {', '.join(table)}"
    elif isinstance(entry, Source):
        if not FINGERPRINT.fullmatch(entry.identity):
            yield "has no identity; give 32 hex digits that change whenever the images do, such as a hash"
        if not isinstance(entry.shape, Shape) or not all(
            isinstance(getattr(entry.shape, field.name), int) and getattr(entry.shape, field.name) > 0
            for field in fields(Shape)
        ):
            yield "has no shape; give Shape(channels=, image_size=, classes=, train=, test=), all of them 1 or more"
