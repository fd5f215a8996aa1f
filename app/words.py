"""The field's words and number formats, the same on every page."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from data.datasets.registry import DATASETS, FOLDER
from engine import registry
from engine.formatting import listing as listing
from engine.formatting import number as number
from engine.formatting import percent as percent
from tasks.units import clock as clock
from tasks.units import duration as duration
from tasks.units import plural as plural
from tasks.units import size as size

STATES: dict[str, tuple[str, str]] = {
    "waiting": ("waiting", "gray"),
    "blocked": ("blocked", "red"),
    "queued": ("queued", "gray"),
    "running": ("running", "blue"),
    "done": ("done", "green"),
    "failed": ("failed", "red"),
    "cancelled": ("cancelled", "orange"),
}

# The states of workers, with their colours.
WORKER_STATES: dict[str, str] = {"training": "blue", "idle": "gray", "draining": "orange"}


# How the literature writes the name of a start, of a pruner and of a network.
start, pruner, network = registry.start_title, registry.pruner_title, registry.network_title


def dataset(name: str) -> str:
    """Return the title of a dataset; for a folder of images, the folder's name."""
    if name.startswith(FOLDER):
        return f"folder {name.removeprefix(FOLDER).rstrip('/').rpartition('/')[2]}"
    return DATASETS[name].title if name in DATASETS else name


def place(network_name: str, dataset_name: str) -> str:
    """Return the titles of a network and its dataset: 'ResNet-20 on CIFAR-10'."""
    return f"{network(network_name)} on {dataset(dataset_name)}"


def numbers(values: Sequence[float]) -> str:
    """Return numbers, such as learning rates, with commas between."""
    return ", ".join(number(value) for value in values)


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago a moment in UTC was, in its largest unit: '3 hours ago'; an em dash for none."""
    if moment is None or moment is pd.NaT:
        return "—"
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 60:
        return "just now"
    for unit, length in (("minute", 60), ("hour", 3600), ("day", 86_400)):
        count = int(seconds // length)
        if seconds < {"minute": 3600, "hour": 86_400, "day": 30 * 86_400}[unit]:
            return f"{plural(count, unit)} ago"
    return f"{moment:%d %B %Y}"


def badge(state: str) -> str:
    """Return a state as a coloured Markdown badge."""
    word, colour = STATES.get(state, (state, "gray"))
    return f":{colour}-badge[{word}]"


def matches(query: str, text: str) -> bool:
    """Return whether a text contains every word of a query; a number must be a whole word: 1 does not match 0.1."""
    text = text.lower()
    tokens = set(re.split(r"[\s,·]+", text))
    return all(word in tokens if re.fullmatch(r"[\d.]+", word) else word in text for word in query.lower().split())


def plain(text: str) -> str:
    """Return text with all that Markdown would interpret escaped."""
    # Streamlit replaces names of icons and emoji, such as :star:, after parsing; a zero-width space prevents that.
    text = re.sub(r":(?=[\w+/-]+:)", ":\u200b", text)
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+-!|<>$:~" else letter for letter in text)


def lines(text: str) -> str:
    """Return text as `plain` does, with its line breaks."""
    return "  \n".join(plain(line) for line in text.splitlines())


def code(text: str) -> str:
    """Return text as code in Markdown, or as plain text if it contains characters that would end the code."""
    return plain(text) if re.search(r"[`\[\]\\\n]", text) else f"`{text}`"


def minus(text: str) -> str:
    """Return a text with its negative numbers written with a minus sign, not a hyphen."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def sentence(text: str) -> str:
    """Return a text as a sentence: a capital first, a full stop last, minus signs before negative numbers."""
    return f"{text[:1].upper()}{minus(text[1:]).rstrip('.')}."


def compares(study: Mapping[str, Any]) -> str:
    """Return a line on what a study compares; study: its fields, or a row of `data.queries.studies.studies`."""
    rates, seeds = sorted(study["learning_rates"]), study["seeds"]
    parts = [
        ", ".join(dataset(name) for name in study["datasets"]),
        ", ".join(network(name) for name in study["networks"]),
        f"learning rate{'s' * (len(rates) > 1)} {numbers(rates)}",
        listing([pruner(name) for name in study["pruners"]]) or "dense only",
        listing([start(name) for name in study["starts"]]),
        plural(seeds if isinstance(seeds, int) else len(seeds), "seed"),
    ]
    return " · ".join(part for part in parts if part)
