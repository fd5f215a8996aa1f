"""The miniature of a figure on its card: its panels with the means of finished runs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from app.answer.miniature import stroke
from app.charts.marks import rate_looks
from app.charts.overlap import PAIR_OF
from app.charts.palette import NEUTRAL, STARTS, svg_source
from app.paper.panel_chart import line_looks, share_axis
from engine.paper.figures import Panel
from engine.study.results import AGAINST_DENSE

WIDTH, HEIGHT, GAP = 336.0, 96.0, 8.0
# A row has at most MOST_ACROSS panels, and no panel is wider than in a row of LEAST_ACROSS.
MOST_ACROSS, LEAST_ACROSS = 5, 3

_KEYS = ["dataset", "network", "learning_rate", "pruner", "start", "sparsity"]
_Point = tuple[float, float]


@dataclass(frozen=True)
class Means:
    """Means over seeds by their setting.

    accuracy: in percent, by dataset, network, learning rate, pruner, start and sparsity. overlap: the overlap ratio, by
    dataset, network, learning rate, pruner, sparsity, pair and p. level: of the mask alone, by the keys of overlap. A
    dense network has no pruner and sparsity 0.
    """

    accuracy: dict[tuple[Any, ...], float]
    overlap: dict[tuple[Any, ...], float]
    level: dict[tuple[Any, ...], float]


def means(accuracy: pd.DataFrame, pooled: pd.DataFrame) -> Means:
    """Return the means of some rows of `data.queries.points`; both frames are empty where no run is done."""
    keys = [*(name for name in _KEYS if name != "start"), "pair", "p"]
    overlap, level = (_by_key(pooled, keys, value) for value in ("ratio", "level"))
    return Means(_by_key(accuracy, _KEYS, "test_accuracy"), overlap, level)


def _by_key(frame: pd.DataFrame, keys: list[str], value: str) -> dict[tuple[Any, ...], float]:
    if frame.empty:
        return {}
    means = frame.groupby(keys, dropna=False, sort=False)[value].mean().dropna()
    return {_key(*key): float(mean) for key, mean in zip(means.index, means, strict=True)}


def _key(*parts: Any) -> tuple[Any, ...]:
    # A missing text is NaN in pandas, which does not equal itself.
    return tuple(None if part != part else round(part, 4) if isinstance(part, float) else part for part in parts)


def image(title: str, panels: Sequence[Panel], means: Means) -> str:
    """Return a figure as an HTML image; a panel without finished runs is an empty frame."""
    down = math.ceil(len(panels) / MOST_ACROSS)
    across = math.ceil(len(panels) / down)
    width = (WIDTH - GAP * (max(across, LEAST_ACROSS) - 1)) / max(across, LEAST_ACROSS)
    height = (HEIGHT - GAP * (down - 1)) / down
    lines = [_lines(panel, means) if panel.quantity == "accuracy" else [] for panel in panels]
    parts, filled = [], 0
    for index, panel in enumerate(panels):
        box = _Box((width + GAP) * (index % across), (height + GAP) * (index // across), width, height)
        if panel.quantity == "accuracy":
            pairs = zip(panels, lines, strict=True)
            on_axis = [line for other, its_lines in pairs if share_axis(panel, other) for line in its_lines]
            inside = _plot(box, lines[index], on_axis)
        else:
            inside = _bars(box, panel, means)
        filled += bool(inside)
        parts += [box.frame("" if inside else panel.label, empty=not inside), inside]
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH:g} {HEIGHT:g}'>{''.join(parts)}</svg>"
    alt = escape(f"{title} in miniature: {filled} of {len(panels)} panels have runs", quote=True)
    return (
        f"<img alt='{alt}' style='width:100%;aspect-ratio:{WIDTH:g}/{HEIGHT:g};display:block' src='{svg_source(svg)}'>"
    )


@dataclass(frozen=True)
class _Box:
    """The frame of a panel in pixels; `at` maps x and y from 0 to 1, y upwards, to pixels in it."""

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
    """A line of accuracy: x from 0 to 1, y in percent; the line of a dense network is dashed."""

    points: list[_Point]
    colour: str
    dashed: bool = False


def _lines(panel: Panel, means: Means) -> list[_Line]:
    first, span = panel.sparsities[0], max(panel.sparsities[-1] - panel.sparsities[0], 1e-9)
    lines = []
    for rate in panel.learning_rates:
        place = (panel.dataset, panel.network, rate)
        dense = means.accuracy.get(_key(*place, None, "dense", 0.0))
        if dense is not None:
            lines.append(_Line([(0.0, dense), (1.0, dense)], NEUTRAL, dashed=True))
        for (pruner, start), look in line_looks(panel).items():
            values = [(s, means.accuracy.get(_key(*place, pruner, start, s))) for s in panel.sparsities]
            points = [((s - first) / span, value) for s, value in values if value is not None]
            if points:
                lines.append(_Line(points, look.colour))
    return lines


def _plot(box: _Box, lines: Sequence[_Line], on_axis: Sequence[_Line]) -> str:
    """Return lines as SVG; on_axis: all lines of the panels that share the axis."""
    heights = [y for line in on_axis for _, y in line.points]
    lowest, span = min(heights, default=0.0), max(max(heights, default=0.0) - min(heights, default=0.0), 1e-9)
    return "".join(
        stroke([box.at(x, (y - lowest) / span) for x, y in line.points], line.colour, line.dashed) for line in lines
    )


# A group has bars, each with its height from 0 to 1 (None where it is not measured) and colour, and levels that are
# marked across the bars: chance, and that of the mask alone where it is recorded.
_Group = tuple[list[tuple[float | None, str]], tuple[float, ...]]


def _bars(box: _Box, panel: Panel, means: Means) -> str:
    """Return the bars of a panel of overlaps as SVG; empty where no overlap is measured."""
    groups = _groups(panel, means)
    if all(value is None for bars, _ in groups for value, _ in bars):
        return ""
    return "".join(_bar_marks(box, groups))


def _groups(panel: Panel, means: Means) -> list[_Group]:
    def overlap(rate: float, pruner: str | None, sparsity: float, pair: str, p: float) -> float | None:
        return means.overlap.get(_key(panel.dataset, panel.network, rate, pruner, sparsity, pair, p))

    if panel.quantity == "retention":
        colours = [look.colour for look in rate_looks(panel.learning_rates).values()]
        rates = list(zip(panel.learning_rates, colours, strict=True))
        return [
            ([(overlap(rate, None, 0.0, "initial_pretrained", p), colour) for rate, colour in rates], (p,))
            for p in panel.ps
        ]
    rate, pruner, p = panel.learning_rates[0], panel.pruners[0], panel.ps[0]
    if panel.quantity == "start_overlap":
        pairs = [(PAIR_OF[start], STARTS[start].colour) for start in panel.starts]
        return [
            ([(overlap(rate, pruner, sparsity, pair, p), colour) for pair, colour in pairs], (p,))
            for sparsity in panel.sparsities
        ]
    groups: list[_Group] = []
    for pair in AGAINST_DENSE:
        place = (rate, pruner, panel.sparsities[0], pair, p)
        level = means.level.get(_key(panel.dataset, panel.network, *place))
        groups.append(([(overlap(*place), NEUTRAL)], (p,) if level is None else (p, level)))
    return groups


def _bar_marks(box: _Box, groups: Sequence[_Group]) -> Iterable[str]:
    group_width = 1 / len(groups)
    for index, (bars, levels) in enumerate(groups):
        width = 0.7 * group_width / len(bars)
        for position, (value, colour) in enumerate(bars):
            if value is not None:
                x = group_width * (index + 0.15) + width * position
                (left, top), (right, bottom) = box.at(x, value), box.at(x + width, 0)
                size = f"width='{right - left - 0.5:.1f}' height='{bottom - top:.1f}'"
                yield f"<rect x='{left:.1f}' y='{top:.1f}' {size} fill='{colour}' fill-opacity='.7'/>"
        for level in levels:
            ends = [box.at(group_width * (index + 0.1), level), box.at(group_width * (index + 0.9), level)]
            yield stroke(ends, NEUTRAL)
