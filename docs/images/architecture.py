"""Draw architecture.svg from architecture.toml: python docs/images/architecture.py."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

SOURCE = Path(__file__).with_suffix(".toml")
TARGET = Path(__file__).with_suffix(".svg")

# In units of the drawing: at a width of 480, text of size 13 is legible on a telephone of 360 pixels.
WIDTH = 480
MARGIN, PADDING = 12, 12
ROW, GAP, HEADING = 54, 26, 38
COLUMNS = {"left": (44, 180), "right": (256, 180), "both": (44, 392)}
LANES = {"left": 28, "middle": 240, "right": 452}
BADGE = 9

STYLE = """
svg { font-family: system-ui, -apple-system, "Segoe UI", "Source Sans 3", Roboto, sans-serif; }
.paper { fill: #ffffff; } .floor { fill: #f3f5f8; } .room { fill: #ffffff; stroke: #c3cad5; }
.quiet { fill: none; stroke: #d3d9e2; } text { fill: #1d2430; } .about { fill: #566072; font-size: 13px; }
.name { font-weight: 650; font-size: 15px; } .heading { font-weight: 750; font-size: 17px; }
.number { fill: #ffffff; font-weight: 700; font-size: 11.5px; text-anchor: middle; }
.line { fill: none; stroke-width: 2.4; stroke-linejoin: round; }
.study { stroke: #0072b2; } .epoch { stroke: #c65300; }
.study-dot { fill: #0072b2; } .epoch-dot { fill: #c65300; }
.weights { stroke: #7a8496; stroke-dasharray: 4 3; } .weights-dot { fill: #7a8496; }
@media (prefers-color-scheme: dark) {
.paper { fill: #10151d; } .floor { fill: #19202b; } .room { fill: #232c3a; stroke: #46536a; }
.quiet { fill: none; stroke: #364153; } text { fill: #eef2f7; } .about { fill: #aeb9c9; }
.number { fill: #10151d; } .study { stroke: #6cb8ee; } .epoch { stroke: #f79a4f; }
.study-dot { fill: #6cb8ee; } .epoch-dot { fill: #f79a4f; }
}
""".strip()

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle of the drawing."""

    x: float
    y: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        """The y of the lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """The y of the centre."""
        return self.y + self.height / 2


def draw(source: str) -> str:
    """Return the SVG of a picture; source: TOML as in architecture.toml."""
    picture = tomllib.loads(source)
    bands, boxes, end = _layout(picture["floor"])
    parts: list[str] = []
    for floor, band in zip(picture["floor"], bands, strict=True):
        parts += _floor(floor, band)
        for room in floor["rooms"]:
            parts += _room(floor["name"], room, boxes)
    height, number = end + MARGIN + 14, 0
    for way in picture["way"]:
        first, numbered = number + 1, way.get("numbered", True)
        for step in way["steps"]:
            parts += _step(way["name"], step, boxes)
            if numbered:
                number += 1
                parts += _badge(way["name"], step, number, boxes)
        parts += _legend(way, f"{first} to {number}" if numbered else "", height)
        height += 26
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="640" role="img" '
            'aria-labelledby="title description">',
            f'<title id="title">{escape(picture["title"])}</title>',
            f'<desc id="description">{escape(picture["description"])}</desc>',
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="14"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _layout(floors: Sequence[dict[str, Any]]) -> tuple[list[Box], dict[str, Box], float]:
    """Return the bands of the floors, the box of each folder by its path, and where the last band ends."""
    bands, boxes, top = [], {}, float(MARGIN)
    for floor in floors:
        rows = 1 + max(room["row"] + room.get("rows", 1) - 1 for room in floor["rooms"])
        band = Box(MARGIN, top, WIDTH - 2 * MARGIN, HEADING + rows * ROW + (rows - 1) * GAP + PADDING)
        for room in floor["rooms"]:
            x, width = COLUMNS[room["column"]]
            tall = room.get("rows", 1)
            y = top + HEADING + room["row"] * (ROW + GAP)
            for name in room["names"]:
                boxes[f"{floor['name']}/{name}"] = Box(x, y, width, tall * ROW + (tall - 1) * GAP)
        bands.append(band)
        top = band.bottom + GAP
    return bands, boxes, top - GAP


def _floor(floor: dict[str, Any], band: Box) -> Iterator[str]:
    yield f'<rect class="floor" x="{band.x}" y="{band.y:g}" width="{band.width}" height="{band.height:g}" rx="10"/>'
    about = f'<tspan class="about" dx="8" font-weight="400">{escape(floor["about"])}</tspan>'
    yield f'<text class="heading" x="44" y="{band.y + 25:g}">{escape(floor["name"])}{about}</text>'


def _room(floor: str, room: dict[str, Any], boxes: dict[str, Box]) -> Iterator[str]:
    box = boxes[f"{floor}/{room['names'][0]}"]
    kind = "room quiet" if room.get("quiet") else "room"
    yield f'<rect class="{kind}" x="{box.x}" y="{box.y:g}" width="{box.width}" height="{box.height:g}" rx="8"/>'
    y = box.middle - 9 * len(room["about"]) + 5
    yield f'<text class="name" x="{box.x + 12}" y="{y:g}">{escape(" · ".join(room["names"]))}</text>'
    for number, line in enumerate(room["about"], start=1):
        yield f'<text class="about" x="{box.x + 12}" y="{y + 18 * number:g}">{escape(line)}</text>'


def _step(way: str, step: dict[str, Any], boxes: dict[str, Box]) -> Iterator[str]:
    points = _line(step, boxes)
    path = " L ".join(f"{x:g} {y:g}" for x, y in points)
    yield f'<path class="line {way}" d="M {path}"/>'
    yield f'<path class="{way}-dot" d="{_head(points[-2], points[-1])}"/>'


def _badge(way: str, step: dict[str, Any], number: int, boxes: dict[str, Box]) -> Iterator[str]:
    """Draw a line's number half-way along its longest vertical piece, beside a line that is short."""
    points = _line(step, boxes)
    (x, top), (_, bottom) = max(pairwise(points), key=lambda pair: abs(pair[1][1] - pair[0][1]))
    x, y = x + 16 if len(points) == 2 else x, (top + bottom) / 2
    yield f'<circle class="{way}-dot" cx="{x:g}" cy="{y:g}" r="{BADGE}"/>'
    yield f'<text class="number" x="{x:g}" y="{y + 4:g}">{number}</text>'


def _line(step: dict[str, Any], boxes: dict[str, Box]) -> list[Point]:
    start, end = boxes[step["from"]], boxes[step["to"]]
    return _around(start, end, step["lane"]) if "lane" in step else _straight(start, end, step["at"])


def _straight(start: Box, end: Box, at: float) -> list[Point]:
    """Return a vertical line, at a part of the narrower box's width."""
    narrow = min(start, end, key=lambda box: box.width)
    x = narrow.x + at * narrow.width
    return [(x, start.bottom), (x, end.y)] if end.y > start.y else [(x, start.y), (x, end.bottom)]


def _around(start: Box, end: Box, lane: str) -> list[Point]:
    """Return a line from one side of a box to the same side of another, along a lane."""
    x = LANES[lane]
    first, last = (box.x if lane == "left" else box.x + box.width for box in (start, end))
    # Two lines at the same side of a box must not touch.
    down = 10 if end.y > start.y else -10
    return [(first, start.middle + down), (x, start.middle + down), (x, end.middle - down), (last, end.middle - down)]


def _head(before: Point, tip: Point) -> str:
    """Return the path of an arrow's head, 10 long."""
    (x0, y0), (x, y) = before, tip
    length = max(abs(x - x0), abs(y - y0))
    along, across = ((x - x0) / length, (y - y0) / length), (-(y - y0) / length, (x - x0) / length)
    back = (x - 9 * along[0], y - 9 * along[1])
    wings = [(back[0] + side * 5.5 * across[0], back[1] + side * 5.5 * across[1]) for side in (1, -1)]
    return f"M {x:g} {y:g} L {wings[0][0]:g} {wings[0][1]:g} L {wings[1][0]:g} {wings[1][1]:g} Z"


def _legend(way: dict[str, Any], steps: str, y: float) -> Iterator[str]:
    name = way["name"]
    yield f'<path class="line {name}" d="M 44 {y:g} L 78 {y:g}"/>'
    yield f'<path class="{name}-dot" d="{_head((44, y), (84, y))}"/>'
    about = f'<tspan class="about" dx="6" font-weight="400">{steps}</tspan>'
    yield f'<text class="name" x="94" y="{y + 5:g}">{escape(way["about"])}{about}</text>'


if __name__ == "__main__":
    TARGET.write_text(draw(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
