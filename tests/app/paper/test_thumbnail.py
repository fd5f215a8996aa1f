import re
from base64 import b64decode
from xml.etree import ElementTree

import pandas as pd
import pytest

from app.paper import panel_chart, thumbnail
from app.state.queries import accuracy, pooled_overlaps
from data.database.database import Database
from engine.paper import studies
from engine.paper.figures import FIGURES, Panel
from engine.paper.studies import scaled
from tests.app.made_study import record

STUDY = "made-study-0001"
NOTHING = pd.DataFrame()


@pytest.fixture
def frames(database: Database) -> tuple[pd.DataFrame, pd.DataFrame]:
    record(database, studies.study("all", "small"))
    return accuracy(STUDY), pooled_overlaps(STUDY)


def parsed(name: str, rows: pd.DataFrame, pooled: pd.DataFrame) -> tuple[str, ElementTree.Element, list[Panel]]:
    """Return the alternative text and the picture of a figure, and its panels."""
    panels = [scaled(panel, "small") for panel in FIGURES[name].panels]
    html = thumbnail.image("A <title>", panels, thumbnail.means(rows, pooled))
    alt, source = re.fullmatch(r"<img alt='([^'<>]*)' [^>]* src='data:image/svg\+xml;base64,([^']*)'>", html).groups()  # type: ignore[union-attr]
    return alt, ElementTree.fromstring(b64decode(source)), panels


def tags(picture: ElementTree.Element, name: str, **attributes: str) -> list[ElementTree.Element]:
    return [
        part
        for part in picture
        if part.tag.endswith(name) and all(part.get(key) == value for key, value in attributes.items())
    ]


def test_every_series_of_every_panel_is_drawn(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for name in FIGURES:
        alt, picture, panels = parsed(name, *frames)
        assert alt == f"A &lt;title&gt; in miniature: {len(panels)} of {len(panels)} panels have runs"
        assert not tags(picture, "text")
        expected = {"lines": 0, "bars": len(panels)}
        for panel in panels:
            if panel.quantity == "accuracy":
                # Each series has a line, and so has the dense baseline.
                expected["lines"] += len(panel_chart.line_looks(panel)) + 1
            else:
                groups = {"retention": len(panel.ps), "start_overlap": len(panel.sparsities), "ancestor_overlap": 2}
                each = {
                    "retention": len(panel.learning_rates),
                    "start_overlap": len(panel.starts),
                    "ancestor_overlap": 1,
                }
                # Overlaps with dense networks have two levels: of chance, and of the mask alone.
                levels = 2 if panel.quantity == "ancestor_overlap" else 1
                expected["lines"] += levels * groups[panel.quantity]
                expected["bars"] += groups[panel.quantity] * each[panel.quantity]
        assert len(tags(picture, "polyline")) == expected["lines"]
        assert len(tags(picture, "rect")) == expected["bars"]
        width, height = map(float, picture.get("viewBox", "").split()[2:])
        for mark in tags(picture, "rect"):
            assert 0 <= float(mark.get("x", -1)) <= width - float(mark.get("width", 0))
            assert 0 <= float(mark.get("y", -1)) <= height - float(mark.get("height", 0)) + 0.1
        for line in tags(picture, "polyline"):
            for point in line.get("points", "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height


def test_heights_of_bars_are_the_mean_ratios(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, picture, (panel,) = parsed("main-fig4", *frames)
    rows = frames[1][frames[1]["pair"] == "initial_pretrained"]
    means = rows.groupby(["p", "learning_rate"])["ratio"].mean()
    heights = [float(bar.get("height", 0)) for bar in tags(picture, "rect", **{"fill-opacity": ".7"})]
    expected = [means[p, rate] for p in panel.ps for rate in panel.learning_rates]
    assert [height / max(heights) for height in heights] == pytest.approx(
        [value / max(expected) for value in expected], abs=0.01
    )


def test_a_figure_without_runs_shows_its_empty_panels(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for empty in (NOTHING, frames[0][:0]):
        alt, picture, panels = parsed("fig1", empty, NOTHING)
        assert alt.endswith("0 of 8 panels have runs")
        assert len(tags(picture, "rect", **{"stroke-dasharray": "3 3"})) == len(panels) == 8
        assert [text.text for text in tags(picture, "text")] == list("abcdefgh")
        assert not tags(picture, "polyline")


def test_missing_series_are_left_out(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    rows = frames[0]
    dense = rows["start"] == "dense"
    _, picture, _ = parsed("main-fig2", rows[dense & (rows["learning_rate"] == 0.1)], NOTHING)
    assert len(tags(picture, "rect", **{"stroke-dasharray": "3 3"})) == 1
    assert len(tags(picture, "polyline")) == 1
    single = rows[~dense & (rows["start"] == "reinit") & (rows["sparsity"] == 0.15)]
    _, picture, _ = parsed("main-fig2", single, NOTHING)
    # A start with a single sparsity is a dot at each rate.
    assert [line.get("stroke-width") for line in tags(picture, "polyline")] == ["3.5", "3.5"]
