"""A figure in miniature for its card: panels where the paper has them, with the means of what is trained."""

import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from app.charts.marks import rate_looks
from app.charts.palette import NEUTRAL, STARTS
from app.paper import panel_chart
from engine.paper.figures import Panel
from engine.study.results import AGAINST_DENSE

WIDTH, HEIGHT, GAP = 336.0, 96.0, 8.0
# Panels of a figure with one or two are as wide as those of one with three.
MOST_ACROSS, LEAST_ACROSS = 5, 3

_PLACE = ["dataset", "network", "learning_rate", "pruner", "start", "sparsity"]
_Point = tuple[float, float]


@dataclass(frozen=True)
class Means:
    """Means over seeds, ready to look up.

    accuracy: by dataset, network, learning rate, pruner, start and sparsity. overlap: by the same, but for a pair and
    its p in place of the start; level: of the mask alone, likewise. A dense network has no pruner and sparsity 0.
    """

    accuracy: dict[tuple[Any, ...], float]
    overlap: dict[tuple[Any, ...], float]
    level: dict[tuple[Any, ...], float]


def means(accuracy: pd.DataFrame, pooled: pd.DataFrame) -> Means:
    """Return the means of some rows; frames of `data.queries.points`, empty where no run is done."""
    pairs = [name for name in _PLACE if name != "start"]
    overlap, level = (_by_key(pooled, [*pairs, "pair", "p"], value) for value in ("ratio", "level"))
    return Means(_by_key(accuracy, _PLACE, "test_accuracy"), overlap, level)


def _by_key(frame: pd.DataFrame, keys: list[str], value: str) -> dict[tuple[Any, ...], float]:
    if frame.empty:
        return {}
    found = frame.groupby(keys, dropna=False, sort=False)[value].mean().dropna()
    return {_key(*key): float(mean) for key, mean in zip(found.index, found, strict=True)}


def _key(*parts: Any) -> tuple[Any, ...]:
    # A missing text is NaN in pandas, which equals nothing.
    return tuple(None if part != part else round(part, 4) if isinstance(part, float) else part for part in parts)


def image(title: str, panels: Sequence[Panel], found: Means) -> str:
    """Return a figure as an HTML image; a panel of which nothing is trained is an empty frame."""
    down = math.ceil(len(panels) / MOST_ACROSS)
    across = math.ceil(len(panels) / down)
    width = (WIDTH - GAP * (max(across, LEAST_ACROSS) - 1)) / max(across, LEAST_ACROSS)
    height = (HEIGHT - GAP * (down - 1)) / down
    lines = [_lines(panel, found) if panel.quantity == "accuracy" else [] for panel in panels]
    drawn, filled = [], 0
    for index, panel in enumerate(panels):
        box = _Box((width + GAP) * (index % across), (height + GAP) * (index // across), width, height)
        # As in the figure itself, panels of one network and dataset share their axis.
        alike = [line for other, own in zip(panels, lines, strict=True) if _same_axis(panel, other) for line in own]
        inside = _drawn_lines(box, lines[index], alike) if panel.quantity == "accuracy" else _bars(box, panel, found)
        filled += bool(inside)
        drawn += [box.frame("" if inside else panel.label, empty=not inside), inside]
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH:g} {HEIGHT:g}'>{''.join(drawn)}</svg>"
    # Streamlit strips inline SVG out of HTML, but lets an image of the same through.
    source = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    alt = escape(f"{title} in miniature: {filled} of {len(panels)} panels have runs", quote=True)
    return f"<img alt='{alt}' style='width:100%;aspect-ratio:{WIDTH:g}/{HEIGHT:g};display:block' src='{source}'>"


def _same_axis(one: Panel, other: Panel) -> bool:
    return (one.dataset, one.network) == (other.dataset, other.network)


@dataclass(frozen=True)
class _Box:
    """Where a panel lies; its inside goes from 0 to 1 both ways, upwards."""

    left: float
    top: float
    width: float
    height: float

    def at(self, x: float, y: float) -> _Point:
        return self.left + 5 + x * (self.width - 10), self.top + self.height - 4 - y * (self.height - 8)

    def frame(self, label: str, empty: bool) -> str:
        dash = " stroke-dasharray='3 3'" if empty else ""
        place = f"x='{self.left + 0.5:.1f}' y='{self.top + 0.5:.1f}'"
        size = f"width='{self.width - 1:.1f}' height='{self.height - 1:.1f}' rx='3'"
        frame = f"<rect {place} {size} fill='none' stroke='{NEUTRAL}' stroke-opacity='.45'{dash}/>"
        if not label:
            return frame
        middle = f"x='{self.left + self.width / 2:.1f}' y='{self.top + self.height / 2 + 4:.1f}'"
        font = "font-family='sans-serif' font-size='11' text-anchor='middle'"
        return f"{frame}<text {middle} {font} fill='{NEUTRAL}'>{escape(label)}</text>"


@dataclass(frozen=True)
class _Line:
    """A line's points, x from 0 to 1 and y in percent; a dense network's is dashed."""

    points: list[_Point]
    colour: str
    dashed: bool = False


def _lines(panel: Panel, found: Means) -> list[_Line]:
    first, wide = panel.sparsities[0], max(panel.sparsities[-1] - panel.sparsities[0], 1e-9)
    lines = []
    for rate in panel.learning_rates:
        place = (panel.dataset, panel.network, rate)
        dense = found.accuracy.get(_key(*place, None, "dense", 0.0))
        if dense is not None:
            lines.append(_Line([(0.0, dense), (1.0, dense)], NEUTRAL, dashed=True))
        for (pruner, start), look in panel_chart.line_looks(panel).items():
            values = [(s, found.accuracy.get(_key(*place, pruner, start, s))) for s in panel.sparsities]
            points = [((s - first) / wide, value) for s, value in values if value is not None]
            if points:
                lines.append(_Line(points, look.colour))
    return lines


def _drawn_lines(box: _Box, lines: Sequence[_Line], alike: Sequence[_Line]) -> str:
    heights = [y for line in alike for _, y in line.points]
    lowest, span = min(heights, default=0.0), max(max(heights, default=0.0) - min(heights, default=0.0), 1e-9)
    return "".join(
        _stroke([box.at(x, (y - lowest) / span) for x, y in line.points], line.colour, line.dashed) for line in lines
    )


def _stroke(points: Sequence[_Point], colour: str, dashed: bool = False) -> str:
    # A line of one point is a dot.
    width = 1.5 if len(points) > 1 else 3.5
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (points if len(points) > 1 else [*points, *points]))
    style = " stroke-dasharray='3 3'" if dashed else " stroke-linecap='round' stroke-linejoin='round'"
    return f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{width}'{style}/>"


# Bars side by side, each its height from 0 to 1 (None where it is not measured) and colour; and the levels that they
# are held against: chance, and that of the mask alone where there is one.
_Group = tuple[list[tuple[float | None, str]], tuple[float, ...]]


def _bars(box: _Box, panel: Panel, found: Means) -> str:
    """Return the bars of a panel of overlaps, or nothing where none is measured."""
    groups = _groups(panel, found)
    if all(value is None for bars, _ in groups for value, _ in bars):
        return ""
    return "".join(_drawn_bars(box, groups))


def _groups(panel: Panel, found: Means) -> list[_Group]:
    def overlap(rate: float, pruner: str | None, sparsity: float, pair: str, p: float) -> float | None:
        return found.overlap.get(_key(panel.dataset, panel.network, rate, pruner, sparsity, pair, p))

    if panel.quantity == "retention":
        colours = [look.colour for look in rate_looks(panel.learning_rates).values()]
        rates = list(zip(panel.learning_rates, colours, strict=True))
        return [
            ([(overlap(rate, None, 0.0, "initial_pretrained", p), colour) for rate, colour in rates], (p,))
            for p in panel.ps
        ]
    rate, pruner, p = panel.learning_rates[0], panel.pruners[0], panel.ps[0]
    if panel.quantity == "start_overlap":
        pairs = [(panel_chart.PAIR_OF[start], STARTS[start].colour) for start in panel.starts]
        return [
            ([(overlap(rate, pruner, sparsity, pair, p), colour) for pair, colour in pairs], (p,))
            for sparsity in panel.sparsities
        ]
    groups: list[_Group] = []
    for pair in AGAINST_DENSE:
        place = (rate, pruner, panel.sparsities[0], pair, p)
        alone = found.level.get(_key(panel.dataset, panel.network, *place))
        groups.append(([(overlap(*place), NEUTRAL)], (p,) if alone is None else (p, alone)))
    return groups


def _drawn_bars(box: _Box, groups: Sequence[_Group]) -> Iterable[str]:
    each = 1 / len(groups)
    for index, (bars, held_against) in enumerate(groups):
        wide = 0.7 * each / len(bars)
        for place, (value, colour) in enumerate(bars):
            if value is not None:
                from_left = each * (index + 0.15) + wide * place
                (left, top), (right, bottom) = box.at(from_left, value), box.at(from_left + wide, 0)
                size = f"width='{right - left - 0.5:.1f}' height='{bottom - top:.1f}'"
                yield f"<rect x='{left:.1f}' y='{top:.1f}' {size} fill='{colour}' fill-opacity='.7'/>"
        for level in held_against:
            yield _stroke([box.at(each * (index + 0.1), level), box.at(each * (index + 0.9), level)], NEUTRAL)
