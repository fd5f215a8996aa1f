"""Pictures of charts that can be read without the page."""

import xml.etree.ElementTree as ET
from io import BytesIO

import pytest
from PIL import Image

from app.charts.marks import rate_looks
from app.charts.palette import Look
from app.charts.picture import SCALE, WIDTH, Legend, png, standalone, svg
from data.database.database import Database
from engine.study.spec import Study
from tests.app.charts.test_chart import panel


def words_of(picture: str) -> list[str]:
    """Return all text in an SVG."""
    return ["".join(node.itertext()) for node in ET.fromstring(picture).iter() if node.tag.endswith("text")]


def test_a_picture_contains_the_title_place_legend_and_axes_of_the_page(database: Database, study: Study) -> None:
    words = words_of(svg(panel(database, study).picture))
    assert "Test accuracy (last epoch) against sparsity, learning rate 0.01" in words
    assert "LeNet-300 on Digits · iterative magnitude · Small study" in words
    for name in ("winning ticket", "random reinit", "rewind", "fine-tune", "dense", "± standard deviation over seeds"):
        assert name in words
    assert "test accuracy, last epoch (%)" in words
    assert "sparsity (% of prunable weights removed)" in words


def test_a_picture_is_dark_on_white_and_sharp(database: Database, study: Study) -> None:
    image = Image.open(BytesIO(png(panel(database, study).picture))).convert("RGB")
    assert image.getpixel((2, 2)) == (255, 255, 255)
    assert image.width > SCALE * WIDTH
    assert len(image.getcolors(1 << 20) or []) > 50


def test_a_picture_leaves_the_chart_of_the_page_as_it_is(database: Database, study: Study) -> None:
    chart = panel(database, study)
    before = str(chart.spec)
    assert chart.picture != chart.spec
    assert str(chart.spec) == before


@pytest.mark.parametrize("count", [1, 6, 40])
def test_a_legend_wraps_within_the_picture(count: int) -> None:
    looks = tuple(Look(f"learning rate {index / 1000}", "", "#123456", "circle") for index in range(count))
    chart = {"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    picture = ET.fromstring(svg(standalone(chart, "A title", "", Legend(looks))))
    assert float(picture.attrib["width"]) < WIDTH + 100
    assert sum(text.startswith("learning rate") for text in words_of(ET.tostring(picture, "unicode"))) == count


def test_a_long_title_is_broken_into_lines() -> None:
    chart = {"data": {"values": [{}]}, "mark": "point"}
    picture = svg(standalone(chart, "word " * 60))
    assert float(ET.fromstring(picture).attrib["width"]) < WIDTH + 100
    assert picture.count("word") >= 60


def test_charts_with_several_views_and_selections_become_pictures() -> None:
    unit = {"mark": "point", "encoding": {"x": {"field": "a", "type": "quantitative"}}, "name": "view_1"}
    brush = {"name": "brush", "select": {"type": "interval"}, "views": ["view_1"]}
    chart = {"data": {"values": [{"a": 1}]}, "hconcat": [unit, {**unit, "name": "view_2"}], "params": [brush]}
    assert "A title" in words_of(svg(standalone(chart, "A title", "", Legend(note="a note"))))


def test_symbols_are_typeset_and_many_rates_have_one_ramp() -> None:
    chart = {
        "data": {"values": [{"a": 1}]},
        "mark": "point",
        "encoding": {"x": {"field": "a", "title": "R_p(θ₀, θ_T)"}},
    }
    spec = standalone(chart, "A title", "", Legend(tuple(rate_looks([10**-number for number in range(20)]).values())))
    texts = [text.replace("\u200b", "") for text in words_of(svg(spec))]
    assert "Rp(θ0, θT)" in texts
    assert sum(text.startswith("learning rate") for text in texts) == 2
    assert Image.open(BytesIO(png(spec))).width > SCALE * WIDTH
