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
from tasks.units import duration as duration
from tasks.units import plural as plural
from tasks.units import size as size

STATES: dict[str, tuple[str, str]] = {
    "waiting": ("waiting", "gray"),
    "queued": ("queued", "gray"),
    "running": ("running", "blue"),
    "done": ("done", "green"),
    "failed": ("failed", "red"),
    "cancelled": ("cancelled", "orange"),
}

# Of workers, beside those that they share with stages.
WORKER_STATES: dict[str, str] = {"training": "blue", "idle": "gray", "draining": "orange"}

PAIRS: dict[str, str] = {
    "initial_pretrained": "initial and trained dense weights (θ₀, θ_T)",
    "ticket_finetuned": "winning ticket (θ₀⊙m) and fine-tuned",
    "reinit_finetuned": "random reinit (θ₀′⊙m) and fine-tuned",
    "finetuned_initial": "fine-tuned and initial weights (θ₀)",
    "finetuned_pretrained": "fine-tuned and trained dense weights (θ_T)",
}


def start(name: str) -> str:
    """Return the field's name of a start."""
    return registry.start_title(name)


def pruner(name: str) -> str:
    """Return the title of a pruner."""
    return registry.pruner_title(name)


def network(name: str) -> str:
    """Return how the literature writes a network's name."""
    return registry.network_title(name)


def dataset(name: str) -> str:
    """Return the title of a dataset; of a folder, its last part."""
    if name.startswith(FOLDER):
        return f"folder {name.rstrip('/').rpartition('/')[2]}"
    return DATASETS[name].title if name in DATASETS else name


def place(network_name: str, dataset_name: str) -> str:
    """Return a network and what it is trained on: 'ResNet-20 on CIFAR-10'."""
    return f"{network(network_name)} on {dataset(dataset_name)}"


def numbers(values: Sequence[float]) -> str:
    """Return several settings in one line."""
    return ", ".join(number(value) for value in values)


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago a moment in UTC was, in one unit."""
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
    """Return whether a text holds every word of a query; a number counts only as a whole, so 1 is not found in 0.1."""
    text = text.lower()
    tokens = set(re.split(r"[\s,·]+", text))
    return all(word in tokens if re.fullmatch(r"[\d.]+", word) else word in text for word in query.lower().split())


def plain(text: str) -> str:
    """Return text so that Markdown shows it as it is."""
    # Streamlit looks for icons and emoji by name once Markdown has been read; a space of no width keeps them words.
    text = re.sub(r":(?=[\w+/-]+:)", ":\u200b", text)
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+-!|<>$:~" else letter for letter in text)


def code(text: str) -> str:
    """Return text as code in Markdown, or where it holds what would end the code, as text."""
    return plain(text) if re.search(r"[`\[\]\\\n]", text) else f"`{text}`"


def minus(text: str) -> str:
    """Return a text with its negative numbers written with a minus sign, not a hyphen."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def sentence(text: str) -> str:
    """Return a text as a sentence: a capital first, a full stop last, minus signs before negative numbers."""
    return f"{text[:1].upper()}{minus(text[1:]).rstrip('.')}."


def compares(study: Mapping[str, Any]) -> str:
    """Return in one line what a study compares, from a row of `data.queries.studies.studies` or a study's fields."""
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
