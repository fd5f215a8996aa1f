"""The colours, shapes and dashes of series, the same on every page."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from app import words
from engine import registry


@dataclass(frozen=True)
class Look:
    """How one series is named and drawn.

    symbol: the paper's symbol, for tooltips and captions. shape: a Vega point shape; "stroke" for a line without
    points, BAR for bars. dash: pixels on and off, empty for a solid line. ordered: it is one of many in an order, whose
    legend is one ramp of colours.
    """

    name: str
    symbol: str
    colour: str
    shape: str
    dash: tuple[int, ...] = ()
    ordered: bool = False


# The shape of a series that is drawn as bars.
BAR = "bar"

# The colours of Okabe and Ito stay apart for colour-blind readers and stand out on light and dark pages alike; shapes
# and dashes tell the starts apart in print.
_STYLES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "winning_ticket": ("#0072B2", "circle", ()),
    "reinit": ("#D55E00", "square", (6, 3)),
    "rewind": ("#009E73", "triangle-up", (2, 2)),
    "finetune": ("#CC79A7", "diamond", (8, 3, 2, 3)),
}
# Starts that users add to the registry get these styles in the registry's order.
_FREE = (
    ("#9018f0", "cross", (1, 3)),
    ("#f00048", "triangle-down", (10, 3)),
    ("#786030", "triangle-left", (5, 2, 1, 2)),
    ("#f048f0", "triangle-right", (12, 2, 2, 2)),
)
_DENSE = Look("dense", "θ_T", "#6f757f", "stroke", (4, 4))


class _Starts(Mapping[str, Look]):
    """The look of each start in the registry, and of dense networks under the name "dense".

    A study may have a start whose plugin is gone: it has a look, too, but is not among the starts.
    """

    def __getitem__(self, name: str) -> Look:
        if name == _DENSE.name:
            return _DENSE
        if name not in registry.STARTS:
            return Look(name, name, *_free_style(name))
        start = registry.STARTS[name]
        return Look(start.title, start.symbol or start.title, *(_STYLES.get(name) or _free_style(name)))

    def __contains__(self, name: object) -> bool:
        return name == _DENSE.name or name in registry.STARTS

    def __iter__(self) -> Iterator[str]:
        return iter((*registry.STARTS, _DENSE.name))

    def __len__(self) -> int:
        return len(registry.STARTS) + 1


def _free_style(name: str) -> tuple[str, str, tuple[int, ...]]:
    """Return the style of an added start, or of one that is gone; from the fifth on, colours repeat."""
    added = [start for start in registry.STARTS if start not in _STYLES]
    number = added.index(name) if name in added else len(added) + crc32(name.encode()) % len(_FREE) ** 2
    repeat, index = divmod(number, len(_FREE))
    _, shape, dash = _FREE[(index + repeat) % len(_FREE)]
    return _FREE[index][0], shape, dash


# Each look-up reads the registry, so that a new start needs no line here.
STARTS: Mapping[str, Look] = _Starts()


def starts(named: Iterable[str]) -> dict[str, Look]:
    """Return the looks of all starts, and of those among some names that are gone, in the order of legends."""
    gone = {name: STARTS[name] for name in sorted(set(named) - set(STARTS))}
    return {**{name: STARTS[name] for name in registry.STARTS}, **gone, _DENSE.name: _DENSE}


def present(named: Iterable[str]) -> dict[str, Look]:
    """Return the looks of some starts in the order of legends."""
    names = set(named)
    return {name: look for name, look in starts(names).items() if name in names}


# The colour of chance lines and dense baselines is a grey that is legible on light and dark pages.
NEUTRAL = _DENSE.colour

# No start has one of these colours, so that a learning rate is never mistaken for a start.
_SERIES = (
    ("#7B61D1", "circle"),
    ("#B8860B", "square"),
    ("#1B9AAA", "triangle-up"),
    ("#C2557A", "diamond"),
    ("#6B8E23", "cross"),
    ("#A0522D", "triangle-down"),
)
_DASHES: tuple[tuple[int, ...], ...] = ((), (6, 3), (2, 2), (8, 3, 2, 3))

# The colours of heat maps, from 0 to 1.
CIVIDIS = (
    "#002051",
    "#0a326a",
    "#2b446e",
    "#4d566d",
    "#696970",
    "#7f7c75",
    "#948f78",
    "#ada476",
    "#caba6a",
    "#ead156",
    "#fdea45",
)


def series(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name in its order; from the seventh on, colours repeat with another shape and dash."""
    looks: dict[str, Look] = {}
    for index, name in enumerate(names):
        colour, _ = _SERIES[index % len(_SERIES)]
        repeat = index // len(_SERIES)
        _, shape = _SERIES[(index + repeat) % len(_SERIES)]
        looks[name] = Look(name, name, colour, shape, _DASHES[repeat % len(_DASHES)])
    return looks


# The colours of many series in an order, from the first to the last: about equally light, so that each stands out on
# light and dark pages.
ORDERED = ("#3F62D9", "#7B55D0", "#B1479F", "#C4566B", "#B8860B")


def ordered_series(values: Mapping[str, float]) -> dict[str, Look]:
    """Return a look for each name by its place on a scale; values: the places by name, increasing."""
    low, high = min(values.values()), max(values.values())
    return {
        name: Look(name, name, _between((value - low) / (high - low or 1.0)), "circle", ordered=True)
        for name, value in values.items()
    }


def _between(share: float) -> str:
    """Return the colour at a share of the way along ORDERED."""
    index = min(int(share * (len(ORDERED) - 1)), len(ORDERED) - 2)
    rest = share * (len(ORDERED) - 1) - index
    ends = ([int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in ORDERED[index : index + 2])
    return "#" + "".join(f"{round(first + rest * (last - first)):02X}" for first, last in zip(*ends, strict=True))


def in_ramps(looks: Iterable[Look]) -> list[Look | list[Look]]:
    """Return looks for a legend, those that are ordered in a list of their own."""
    entries: list[Look | list[Look]] = []
    for look in looks:
        if look.ordered and entries and isinstance(entries[-1], list):
            entries[-1].append(look)
        else:
            entries.append([look] if look.ordered else look)
    return entries


def legend(looks: Iterable[Look], bands: str = "", note: str = "") -> str:
    """Return a legend as HTML that wraps with the page; bands: the meaning of the shaded bands, note: a remark."""
    items = [_ramp_of(entry) if isinstance(entry, list) else _entry(entry) for entry in in_ramps(looks)]
    if bands:
        items.append(f"<span style='{_ITEM};opacity:.75'>{_image(_BAND)}<span>{words.html(bands)}</span></span>")
    if note:
        items.append(f"<span style='{_ITEM};opacity:.75'><span>{words.html(note)}</span></span>")
    return f"<div style='display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;font-size:.9rem'>{''.join(items)}</div>"


def _entry(look: Look) -> str:
    return (
        f"<span style='{_ITEM};cursor:pointer' class='{ENTRY}' role='button' tabindex='0' aria-pressed='false' "
        f"data-colour='{look.colour}'>{_swatch(look)}<span>{words.html(look.name)}</span></span>"
    )


def _ramp_of(looks: list[Look]) -> str:
    content = _bar([look.colour for look in looks] * (1 + (len(looks) == 1)))
    first, last = (f"<span>{words.html(look.name)}</span>" for look in (looks[0], looks[-1]))
    return f"<span style='{_ITEM}'>{first}{content}{last}</span>"


def ramp(low: str, high: str) -> str:
    """Return the legend of a heat map as HTML: the colours of cividis between the words for their two ends."""
    ends = [f"<span>{words.html(text)}</span>" for text in (low, high)]
    return f"<div style='{_ITEM};font-size:.9rem'>{_bar(CIVIDIS).join(ends)}</div>"


def _bar(colours: Iterable[str]) -> str:
    gradient = f"background:linear-gradient(90deg,{','.join(colours)})"
    return f"<span style='width:9rem;height:.7rem;border-radius:.2rem;{gradient}'></span>"


# The class of a legend's entries, by which SCRIPT knows them.
ENTRY = "ticketscope-look"
# A script for pages and reports: it singles out the series of a legend's entry, and typesets symbols in charts.
SCRIPT = (
    Path(__file__)
    .with_name("charts.js")
    .read_text(encoding="utf-8")
    .replace("ENTRY", ENTRY)
    .replace("SYMBOL", json.dumps(words.SYMBOL))
    .replace("DROP", words.DROP)
    .replace("SMALL", words.SMALL)
)

_BAND = f"<rect x='1' y='2' width='32' height='10' rx='2' fill='{NEUTRAL}' opacity='.35'/>"
_ITEM = "display:inline-flex;align-items:center;gap:.45rem"

_SHAPES: Mapping[str, str] = {
    "circle": "<circle cx='17' cy='7' r='4.2'/>",
    "square": "<rect x='13' y='3' width='8' height='8'/>",
    "triangle-up": "<path d='M17 2 L22 11.5 L12 11.5 Z'/>",
    "triangle-down": "<path d='M17 12 L22 2.5 L12 2.5 Z'/>",
    "triangle-left": "<path d='M12 7 L21.5 2 L21.5 12 Z'/>",
    "triangle-right": "<path d='M22 7 L12.5 2 L12.5 12 Z'/>",
    "diamond": "<path d='M17 1.2 L22 7 L17 12.8 L12 7 Z'/>",
    "cross": "<path d='M15 2h4v3h3v4h-3v3h-4v-3h-3v-4h3z'/>",
    "stroke": "",
    BAR: "<rect x='11' y='1' width='12' height='12'/>",
}


def _swatch(look: Look) -> str:
    dash = f" stroke-dasharray='{' '.join(map(str, look.dash))}'" if look.dash else ""
    line = f"<line x1='0' y1='7' x2='34' y2='7' stroke='{look.colour}' stroke-width='2'{dash}/>"
    line = "" if look.shape == BAR else line
    return _image(f"{line}<g fill='{look.colour}'>{_SHAPES[look.shape]}</g>")


def _image(drawing: str) -> str:
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='34' height='14'>{drawing}</svg>"
    return f"<img alt='' width='34' height='14' src='{svg_source(svg)}'>"


def svg_source(svg: str) -> str:
    """Return a drawing as the source of an HTML image, since Streamlit removes inline SVG but shows images."""
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
