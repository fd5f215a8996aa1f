"""The field's words and number formats, the same on every page."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
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

# What a link says that shows nothing, without telling why.
NO_LINK = "This link shows nothing"
NO_LINK_ADVICE = "It may have expired, been revoked, or been cut when it was copied. Ask the sender for a new one."

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


# More values than this are summed up.
MOST_LISTED = 6


def numbers(values: Sequence[float]) -> str:
    """Return numbers, such as learning rates, with commas between."""
    return ", ".join(number(value) for value in values)


def rates(values: Sequence[float]) -> str:
    """Return learning rates in words: 'learning rates 0.01, 0.1', many as '40 learning rates, 0.0001 to 0.79'."""
    if len(values) > MOST_LISTED:
        return f"{len(values)} learning rates, {number(min(values))} to {number(max(values))}"
    return f"learning rate{'s' * (len(values) > 1)} {numbers(sorted(values))}"


def span(values: Sequence[float], digits: str = "g") -> str:
    """Return the least and the most of some numbers: '3.7 to 4.6'; one where they look alike."""
    least, most = f"{min(values):{digits}}", f"{max(values):{digits}}"
    return least if least == most else f"{least} to {most}"


def listed(names: Sequence[str], noun: str) -> str:
    """Return names with commas between, many as their number: '15 datasets'."""
    return ", ".join(names) if len(names) <= MOST_LISTED else plural(len(names), noun)


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
    seeds = study["seeds"]
    parts = [
        listed([dataset(name) for name in study["datasets"]], "dataset"),
        listed([network(name) for name in study["networks"]], "network"),
        rates(study["learning_rates"]),
        listing([pruner(name) for name in study["pruners"]]) or "dense only",
        listing([start(name) for name in study["starts"]]),
        plural(seeds if isinstance(seeds, int) else len(seeds), "seed"),
    ]
    return " · ".join(part for part in parts if part)


# The paper's symbols as texts write them: R_p, θ_T, θ_t, θ₀, θₖ, and the T of (θ_T⊙m)_T. The first group stands on the
# line, the second or third is its subscript. The scripts of pages and reports search by the same pattern.
SYMBOL = r"(\bR|θ|\))(?:_([pTtk0])(?!\w)|([₀ₖ]))"
_PLAIN_SUBSCRIPT = {"₀": "0", "ₖ": "k"}
# A subscript's depth below the line, in its own size, and this size in that of the text around it.
DROP, SMALL = "0.3em", "72%"


def _typeset(text: str, symbol: Callable[[str, str], str], other: Callable[[str], str]) -> str:
    """Return a text with each symbol as `symbol` writes its base and subscript, and the rest as `other` does."""
    parts, end = [], 0
    for found in re.finditer(SYMBOL, text):
        subscript = found[2] or _PLAIN_SUBSCRIPT[found[3]]
        parts += [other(text[end : found.start()]), symbol(found[1], subscript)]
        end = found.end()
    return "".join([*parts, other(text[end:])])


def html(text: str) -> str:
    """Return a text as HTML, the paper's symbols with their subscripts, latin letters in italics."""
    return _typeset(text, _in_html, escape)


def typeset(markup: str) -> str:
    """Return HTML with the paper's symbols typeset wherever they stand in its texts; see `html`."""
    return re.sub(r">[^<]+(?=<)", lambda found: _typeset(found[0], _in_html, str), markup)


def _in_html(base: str, subscript: str) -> str:
    return f"{_slanted(base)}<sub>{_slanted(subscript)}</sub>"


def _slanted(letter: str) -> str:
    return f"<i>{letter}</i>" if letter in _ITALIC else letter


# The italic theta of some fonts is another letter, so it stays upright.
_ITALIC = "RpTtk"


def typeset_svg(picture: str) -> str:
    """Return an SVG with the paper's symbols typeset wherever they stand in its texts; see `html`."""
    return re.sub(r">[^<]+(?=</(?:text|tspan)>)", lambda found: f">{_typeset(found[0][1:], _in_svg, str)}", picture)


def _in_svg(base: str, subscript: str) -> str:
    slant = ' font-style="italic"'
    return (
        f"<tspan{slant * (base in _ITALIC)}>{base}</tspan>"
        f'<tspan{slant * (subscript in _ITALIC)} dy="{DROP}" font-size="{SMALL}">{subscript}</tspan>'
        # This space of no width goes back up to the line.
        f'<tspan dy="-{DROP}" font-size="{SMALL}">\u200b</tspan>'
    )


def marked(text: str) -> str:
    """Return text in Markdown as `plain` does, but with the paper's symbols typeset."""
    return _typeset(text, lambda base, sub: f"{_TEX.get(base, base)}_{sub}$", plain)


_TEX = {"R": "$R", "θ": r"$\theta", ")": ")$"}
