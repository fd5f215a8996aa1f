"""A chart as a picture without a page: title and legend are drawn in, dark on white in light and dark themes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

from app.charts.palette import BAR, CIVIDIS, NEUTRAL, Look
from app.charts.vega import Spec

# The version that Altair writes and that Streamlit draws.
VEGA_LITE = "6.4"
# Pixels of a picture's plot, and how many more of them a PNG has in each direction, for print and sharp screens.
WIDTH, SCALE = 640, 2
ROW, SWATCH, RAMP, GAP, PAD = 22, 34, 140, 22, 8
# vl-convert brings the first, so that a PNG looks the same on every machine; an SVG may fall back on the others.
FONT = "Liberation Sans, Arial, Helvetica, DejaVu Sans, sans-serif"
# Replacements for letters that the font lacks; a text with such a letter would be drawn in another font.
_PLAIN = str.maketrans({"₀": "_0", "ₖ": "_k", "⊙": "·"})
INK, QUIET, LINE = "#1f2430", "#5c6372", "#dfe2ea"
FONT_SIZE = 12.5

_HOISTED = ("$schema", "datasets", "config", "background", "padding", "autosize", "usermeta", "title")


@dataclass(frozen=True)
class Legend:
    """The content of a page's legend, which a picture shows too.

    looks: the series in order. bands: what the shaded bands are. note: a further remark. ramp: words for the two ends
    of a heat map's colours.
    """

    looks: tuple[Look, ...] = ()
    bands: str = ""
    note: str = ""
    ramp: tuple[str, str] | None = None


NO_LEGEND = Legend()


def theme(ink: str = INK, quiet: str = QUIET, line: str = LINE, font: str = FONT, faint: float = 1.0) -> Spec:
    """Return the Vega-Lite configuration of a chart outside the dashboard, in these colours.

    faint: opacity of grid lines; that of axes is twice as high.
    """
    return {
        "font": font,
        "view": {"stroke": None},
        "axis": {
            "labelColor": quiet,
            "titleColor": quiet,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "gridColor": line,
            "domainColor": line,
            "tickColor": line,
            "gridOpacity": faint,
            "domainOpacity": min(1.0, 2 * faint),
            "tickOpacity": min(1.0, 2 * faint),
            "titlePadding": 10,
        },
        "axisY": {"domain": False, "ticks": False},
        "header": {"labelColor": ink, "titleColor": quiet},
        "legend": {"labelColor": ink, "titleColor": quiet},
        "title": {"color": ink, "subtitleColor": quiet},
    }


def standalone(drawn: Spec, title: str, about: str = "", legend: Legend = NO_LEGEND) -> Spec:
    """Return a chart as a Vega-Lite specification of its own: title, a line about it, legend, then the chart.

    drawn: a chart as the pages draw it, without legend and as wide as its column; it is not changed.
    """
    chart: Spec = {name: value for name, value in drawn.items() if name not in _HOISTED}
    whole: Spec = {name: drawn[name] for name in ("$schema", "datasets") if name in drawn}
    # A selection that names its views belongs at the top, any other with its chart.
    params = chart.pop("params", [])
    if over := [param for param in params if "views" in param]:
        whole["params"] = over
    if own := [param for param in params if "views" not in param]:
        chart["params"] = own
    wide = not any(name in chart for name in ("hconcat", "vconcat", "concat", "facet", "repeat"))
    if wide and not isinstance(chart.get("width"), int | float):
        chart["width"] = WIDTH
    heading = {"text": _wrapped(title, WIDTH, 16), "anchor": "start", "fontSize": 16, "fontWeight": 600, "offset": 14}
    if about:
        heading |= {"subtitle": _wrapped(about, WIDTH, FONT_SIZE), "subtitleFontSize": FONT_SIZE, "subtitlePadding": 6}
    views = [*_legend(legend), chart]
    config = {**drawn.get("config", {}), **theme(), "concat": {"spacing": 14}}
    return whole | {
        "background": "white",
        "padding": 16,
        "title": heading,
        "vconcat": views,
        "resolve": {"scale": {"color": "independent", "shape": "independent", "strokeDash": "independent"}},
        "config": config,
    }


def svg(spec: Spec) -> str:
    """Return a specification as SVG."""
    return str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[]))


def png(spec: Spec) -> bytes:
    """Return a specification as PNG."""
    plain = json.dumps(spec, ensure_ascii=False).translate(_PLAIN)
    return bytes(vl_convert.vegalite_to_png(plain, vl_version=VEGA_LITE, scale=SCALE, ppi=72, allowed_base_urls=[]))


def _legend(legend: Legend) -> list[Spec]:
    """Return the legend as a view of its own, or none; items are in a row and wrap at the picture's width."""
    # Words, their colour, the marks before them and how wide those are.
    items: list[tuple[str, str, list[Spec], float]] = [(look.name, INK, _swatch(look), SWATCH) for look in legend.looks]
    if legend.ramp:
        low, high = legend.ramp
        items.append((high, INK, *_ramp(low)))
    if legend.bands:
        items.append((legend.bands, QUIET, [_mark("rect", 0, SWATCH, 5, color=NEUTRAL, opacity=0.35)], SWATCH))
    if legend.note:
        items.append((legend.note, QUIET, [], 0))
    if not items:
        return []
    layers: list[Spec] = []
    x, y = 0.0, ROW / 2
    for words, colour, marks, room in items:
        begin = room + PAD if room else 0
        length = begin + _width(words, FONT_SIZE)
        if x and x + length > WIDTH:
            x, y = 0.0, y + ROW
        layers += [_moved(mark, x, y) for mark in (*marks, _text(words, begin, colour))]
        x += length + GAP
    frame = {"width": WIDTH, "height": y + ROW / 2, "view": {"stroke": None}}
    return [frame | {"data": {"values": [{}]}, "layer": layers}]


def _swatch(look: Look) -> list[Spec]:
    line = {"strokeDash": list(look.dash)} if look.dash else {}
    marks = [] if look.shape == BAR else [_mark("rule", 0, SWATCH, 0, color=look.colour, strokeWidth=2, **line)]
    if look.shape != "stroke":
        shape = "square" if look.shape == BAR else look.shape
        point = {"type": "point", "filled": True, "opacity": 1, "size": 64, "shape": shape, "color": look.colour}
        marks.append({"mark": point, "encoding": {"x": {"value": SWATCH / 2}, "y": {"value": 0}}})
    return marks


def _ramp(low: str) -> tuple[list[Spec], float]:
    """Return the colours of a heat map with the word before them, and how wide they are together."""
    stops = [{"offset": index / (len(CIVIDIS) - 1), "color": colour} for index, colour in enumerate(CIVIDIS)]
    gradient = {"gradient": "linear", "x1": 0, "y1": 0, "x2": 1, "y2": 0, "stops": stops}
    begin = _width(low, FONT_SIZE) + PAD
    return [_text(low, 0, INK), _mark("rect", begin, begin + RAMP, 6, color=gradient)], begin + RAMP


def _mark(kind: str, x: float, x2: float, half: float, **looks: Any) -> Spec:
    """Return a horizontal mark from x to x2, half as high above and below its row's middle."""
    places = {"x": x, "x2": x2, "y": -half} | ({"y2": half} if half else {})
    return {"mark": {"type": kind, **looks}, "encoding": {name: {"value": value} for name, value in places.items()}}


def _text(words: str, x: float, colour: str) -> Spec:
    mark = {"type": "text", "align": "left", "baseline": "middle", "fontSize": FONT_SIZE, "color": colour}
    return {"mark": mark | {"text": words}, "encoding": {"x": {"value": x}, "y": {"value": 0}}}


def _moved(mark: Spec, x: float, y: float) -> Spec:
    by = {"x": x, "x2": x, "y": y, "y2": y}
    places = {name: {"value": place["value"] + by[name]} for name, place in mark["encoding"].items()}
    return mark | {"encoding": places}


def _width(text: str, size: float) -> float:
    """Return roughly how many pixels wide a text is, rounded up where in doubt."""
    narrow = sum(letter in "iljtfrI.,:;'|()[] " for letter in text)
    broad = sum(letter in "mwMW@%—±θ⊙" for letter in text)
    return size * (0.3 * narrow + 0.86 * broad + 0.56 * (len(text) - narrow - broad))


def _wrapped(words: str, width: float, size: float) -> Sequence[str]:
    """Return a text as lines that fit a width in pixels."""
    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
