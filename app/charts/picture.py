"""A chart as a picture outside the dashboard, which includes its title and legend, dark on white."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app import words
from app.charts.palette import BAR, CIVIDIS, NEUTRAL, Look, in_ramps
from app.charts.vega import Spec

# Altair writes this version, and Streamlit draws it.
VEGA_LITE = "6.4"
# A picture's plot is WIDTH pixels wide; a PNG has SCALE times as many in each direction, for print and sharp screens.
WIDTH, SCALE = 640, 2
ROW, SWATCH, RAMP, GAP, PAD = 22, 34, 140, 22, 8
# vl-convert includes the first font, so a PNG looks the same on every machine; an SVG may fall back on the others.
FONT = "Liberation Sans, Arial, Helvetica, DejaVu Sans, sans-serif"
# The font lacks this letter, and a text with it would be drawn in another font.
_PLAIN = str.maketrans({"⊙": "·"})
INK, QUIET, LINE = "#1f2430", "#5c6372", "#dfe2ea"
FONT_SIZE = 12.5

_HOISTED = ("$schema", "datasets", "config", "background", "padding", "autosize", "usermeta", "title")


@dataclass(frozen=True)
class Legend:
    """The content of a legend on a page and in a picture.

    looks: the series in order. bands: the meaning of the shaded bands. note: a further remark. ramp: the words for the
    two ends of a heat map's colours.
    """

    looks: tuple[Look, ...] = ()
    bands: str = ""
    note: str = ""
    ramp: tuple[str, str] | None = None


NO_LEGEND = Legend()


def theme(ink: str = INK, quiet: str = QUIET, line: str = LINE, font: str = FONT, faint: float = 1.0) -> Spec:
    """Return the Vega-Lite configuration of a chart outside the dashboard.

    ink, quiet, line: the colours of titles, of labels, and of axes and grid. faint: the opacity of grid lines; axes
    have twice as much.
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


def standalone(spec: Spec, title: str, about: str = "", legend: Legend = NO_LEGEND) -> Spec:
    """Return a specification with a title, a line about the chart and the legend above the chart.

    spec: a chart as the pages draw it, without legend and as wide as its column; it is not changed.
    """
    chart: Spec = {name: value for name, value in spec.items() if name not in _HOISTED}
    whole: Spec = {name: spec[name] for name in ("$schema", "datasets") if name in spec}
    # A selection that names its views belongs at the top level, any other in its chart.
    params = chart.pop("params", [])
    if top_level := [param for param in params if "views" in param]:
        whole["params"] = top_level
    if in_chart := [param for param in params if "views" not in param]:
        chart["params"] = in_chart
    is_one_view = not any(name in chart for name in ("hconcat", "vconcat", "concat", "facet", "repeat"))
    if is_one_view and not isinstance(chart.get("width"), int | float):
        chart["width"] = WIDTH
    heading = {"text": _wrapped(title, WIDTH, 16), "anchor": "start", "fontSize": 16, "fontWeight": 600, "offset": 14}
    if about:
        heading |= {"subtitle": _wrapped(about, WIDTH, FONT_SIZE), "subtitleFontSize": FONT_SIZE, "subtitlePadding": 6}
    return whole | {
        "background": "white",
        "padding": 16,
        "title": heading,
        "vconcat": [*_legend(legend), chart],
        "resolve": {"scale": {"color": "independent", "shape": "independent", "strokeDash": "independent"}},
        "config": {**spec.get("config", {}), **theme(), "concat": {"spacing": 14}},
    }


def svg(spec: Spec) -> str:
    """Return a specification as SVG, in which the paper's symbols are typeset."""
    # Charts are drawn on pages and written as Vega-Lite without this package.
    import vl_convert

    return words.typeset_svg(str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])))


def png(spec: Spec) -> bytes:
    """Return a specification as PNG."""
    return png_of(svg(spec))


def png_of(drawn: str) -> bytes:
    """Return what `svg` returned as PNG, without drawing it again."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(drawn.translate(_PLAIN), scale=SCALE, ppi=72))


def _legend(legend: Legend) -> list[Spec]:
    """Return the view of a legend, whose items wrap at the picture's width, or no view where it is empty."""
    # Each item is a text, its colour, the marks before it and their width in pixels.
    items: list[tuple[str, str, list[Spec], float]] = []
    for entry in in_ramps(legend.looks):
        if isinstance(entry, list):
            items.append((entry[-1].name, INK, *_ramp(entry[0].name, [look.colour for look in entry])))
        else:
            items.append((entry.name, INK, _swatch(entry), SWATCH))
    if legend.ramp:
        low, high = legend.ramp
        items.append((high, INK, *_ramp(low, CIVIDIS)))
    if legend.bands:
        items.append((legend.bands, QUIET, [_mark("rect", 0, SWATCH, 5, color=NEUTRAL, opacity=0.35)], SWATCH))
    if legend.note:
        items.append((legend.note, QUIET, [], 0))
    if not items:
        return []
    layers: list[Spec] = []
    x, y = 0.0, ROW / 2
    for text, colour, marks, room in items:
        begin = room + PAD if room else 0
        length = begin + _width(text, FONT_SIZE)
        if x and x + length > WIDTH:
            x, y = 0.0, y + ROW
        layers += [_moved(mark, x, y) for mark in (*marks, _text(text, begin, colour))]
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


def _ramp(low: str, colours: Sequence[str]) -> tuple[list[Spec], float]:
    """Return the marks of a ramp of colours and of the word before it, and their width in pixels."""
    stops = [{"offset": index / max(len(colours) - 1, 1), "color": colour} for index, colour in enumerate(colours)]
    gradient = {"gradient": "linear", "x1": 0, "y1": 0, "x2": 1, "y2": 0, "stops": stops}
    begin = _width(low, FONT_SIZE) + PAD
    return [_text(low, 0, INK), _mark("rect", begin, begin + RAMP, 6, color=gradient)], begin + RAMP


def _mark(kind: str, x: float, x2: float, half: float, **looks: Any) -> Spec:
    """Return a horizontal mark from x to x2; half: how far it reaches above and below the middle of its row."""
    places = {"x": x, "x2": x2, "y": -half} | ({"y2": half} if half else {})
    return {"mark": {"type": kind, **looks}, "encoding": {name: {"value": value} for name, value in places.items()}}


def _text(text: str, x: float, colour: str) -> Spec:
    mark = {"type": "text", "align": "left", "baseline": "middle", "fontSize": FONT_SIZE, "color": colour}
    return {"mark": mark | {"text": text}, "encoding": {"x": {"value": x}, "y": {"value": 0}}}


def _moved(mark: Spec, x: float, y: float) -> Spec:
    shift = {"x": x, "x2": x, "y": y, "y2": y}
    places = {name: {"value": place["value"] + shift[name]} for name, place in mark["encoding"].items()}
    return mark | {"encoding": places}


def _width(text: str, size: float) -> float:
    """Return roughly how many pixels wide a text is, rounded up where in doubt."""
    narrow = sum(letter in "iljtfrI.,:;'|()[] " for letter in text)
    broad = sum(letter in "mwMW@%—±θ⊙" for letter in text)
    return size * (0.3 * narrow + 0.86 * broad + 0.56 * (len(text) - narrow - broad))


def _wrapped(text: str, width: float, size: float) -> Sequence[str]:
    """Return a text as lines that fit a width in pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
