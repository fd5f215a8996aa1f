"""What a study answers in miniature: the accuracies of its Overview, for a list of studies."""

from collections.abc import Sequence
from html import escape

import pandas as pd

from app import words
from app.answer.answers import at_words, first_place
from app.charts.palette import NEUTRAL, present, svg_source

WIDTH, HEIGHT, MARGIN = 132.0, 66.0, 6.0

Point = tuple[float, float]


def image(accuracy: pd.DataFrame, width: str = f"{WIDTH:g}px") -> str:
    """Return the accuracies of one dataset and network as an HTML image, \"\" without a pruned network.

    It has a line for each start by learning rate, at the pruner and sparsity that the answer is about at first; by
    sparsity for a single rate. Dense networks are dashed. accuracy: rows of `data.queries.points.accuracy`. width: of
    the image, in CSS.
    """
    place = first_place(accuracy)
    if place is None:
        return ""
    pruner, sparsity = place
    rates = accuracy["learning_rate"].nunique()
    pruned = accuracy[accuracy["pruner"] == pruner]
    across, at = "sparsity", words.pruner(pruner)
    if rates > 1:
        across, at = "learning_rate", at_words(pruner, sparsity)
        pruned = pruned[pruned["sparsity"].round(6) == round(sparsity, 6)]
    means = pruned.groupby(["start", across], sort=True)["test_accuracy"].mean()
    dense = accuracy[accuracy["start"] == "dense"].groupby("learning_rate")["test_accuracy"].mean()
    stops = sorted({*pruned[across], *(dense.index if rates > 1 else ())})
    heights = [*means, *dense]
    lowest, span = min(heights), max(max(heights) - min(heights), 1e-9)

    def at_pixels(stop: float, value: float) -> Point:
        x = stops.index(stop) / max(1, len(stops) - 1) if len(stops) > 1 else 0.5
        y = (value - lowest) / span
        return MARGIN + x * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - y * (HEIGHT - 2 * MARGIN)

    ends = dense.items() if rates > 1 else ((stop, value) for value in dense for stop in stops)
    lines = (
        [stroke([at_pixels(float(stop), value) for stop, value in ends], NEUTRAL, dashed=True)] if len(dense) else []
    )
    lines += [
        stroke([at_pixels(stop, value) for stop, value in means[start].items()], look.colour)
        for start, look in present(means.index.get_level_values("start")).items()
    ]
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH:g} {HEIGHT:g}'>{''.join(lines)}</svg>"
    alt = escape(f"Accuracy by {across.replace('_', ' ')} in miniature, {at}", quote=True)
    style = f"width:{width};aspect-ratio:{WIDTH:g}/{HEIGHT:g};display:block"
    return f"<img alt='{alt}' title='{alt}' style='{style}' src='{svg_source(svg)}'>"


def stroke(points: Sequence[Point], colour: str, dashed: bool = False) -> str:
    """Return a line through points as SVG; a line of one point is a dot."""
    width = 1.5 if len(points) > 1 else 3.5
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (points if len(points) > 1 else [*points, *points]))
    style = " stroke-dasharray='3 3'" if dashed else " stroke-linecap='round' stroke-linejoin='round'"
    return f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{width}'{style}/>"
