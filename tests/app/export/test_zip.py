"""Saving charts, and everything of a study as a zip."""

import tomllib
import xml.etree.ElementTree as ET
import zipfile
from io import BytesIO

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.auth import access
from app.charts import accuracy
from app.charts.chart import Chart, Subject, csv, file_name, parquet
from app.charts.palette import Look
from app.charts.picture import SCALE, WIDTH, Legend, png, standalone, svg
from app.charts.points import summarise
from app.components.save_menu import KINDS
from app.export import menu
from app.export.charts import CHARTS, places
from app.export.menu import LinkEnded
from app.export.zip import everything
from data import parquet as tables
from data import shared_links
from data.database.database import Database
from data.queries import points, studies
from data.queries.selection import OneStudy
from engine.study.spec import Study, parse_study
from tests.app.dashboard import open_page, rerun
from tests.app.made_study import record

ID = "made-study-0001"
HOSTILE = "</script><script>alert(1)</script>"


def panel(store: Database, study: Study) -> Chart:
    """Return a panel of the Accuracy tab."""
    record(store, study)
    rows = points.accuracy(store, OneStudy(ID))
    first = accuracy.panels(rows, "test_accuracy", "sd")[0]
    return accuracy.chart(Subject(ID, study.name, "digits", "lenet300"), first, "test_accuracy", "sd", (0, 100))


def words_of(drawn: str) -> list[str]:
    """Return all text in an SVG."""
    return ["".join(node.itertext()) for node in ET.fromstring(drawn).iter() if node.tag.endswith("text")]


def test_a_picture_says_what_the_page_says_around_the_chart(store: Database, study: Study) -> None:
    said = words_of(svg(panel(store, study).picture))
    assert "Test accuracy (last epoch) against sparsity, learning rate 0.01" in said
    assert "LeNet-300 on Digits · iterative magnitude · Small study" in said
    for name in ("winning ticket", "random reinit", "rewind", "fine-tune", "dense", "± standard deviation over seeds"):
        assert name in said
    assert "test accuracy, last epoch (%)" in said
    assert "sparsity (% of prunable weights removed)" in said


def test_a_picture_is_dark_on_white_and_sharp(store: Database, study: Study) -> None:
    image = Image.open(BytesIO(png(panel(store, study).picture))).convert("RGB")
    assert image.getpixel((2, 2)) == (255, 255, 255)
    assert image.width > SCALE * WIDTH
    assert len(image.getcolors(1 << 20) or []) > 50


def test_a_picture_leaves_the_chart_of_the_page_as_it_is(store: Database, study: Study) -> None:
    chart = panel(store, study)
    before = str(chart.spec)
    assert chart.picture != chart.spec
    assert str(chart.spec) == before


@pytest.mark.parametrize("count", [1, 6, 40])
def test_a_legend_wraps_within_the_picture(count: int) -> None:
    looks = tuple(Look(f"learning rate {index / 1000}", "", "#123456", "circle") for index in range(count))
    chart = {"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    drawn = ET.fromstring(svg(standalone(chart, "A title", "", Legend(looks))))
    assert float(drawn.attrib["width"]) < WIDTH + 100
    assert sum(text.startswith("learning rate") for text in words_of(ET.tostring(drawn, "unicode"))) == count


def test_a_long_title_is_broken_into_lines() -> None:
    chart = {"data": {"values": [{}]}, "mark": "point"}
    drawn = svg(standalone(chart, "word " * 60))
    assert float(ET.fromstring(drawn).attrib["width"]) < WIDTH + 100
    assert drawn.count("word") >= 60


def test_charts_side_by_side_and_with_selections_are_pictures_too() -> None:
    unit = {"mark": "point", "encoding": {"x": {"field": "a", "type": "quantitative"}}, "name": "view_1"}
    brush = {"name": "brush", "select": {"type": "interval"}, "views": ["view_1"]}
    chart = {"data": {"values": [{"a": 1}]}, "hconcat": [unit, {**unit, "name": "view_2"}], "params": [brush]}
    assert "A title" in words_of(svg(standalone(chart, "A title", "", Legend(note="a note"))))


def test_numbers_of_a_panel_are_those_of_the_store(store: Database, study: Study) -> None:
    chart = panel(store, study)
    rows = points.accuracy(store, OneStudy(ID))
    rows = rows[(rows["learning_rate"] == 0.01) & ((rows["pruner"] == "iterative") | (rows["start"] == "dense"))]
    expected = summarise(rows, "test_accuracy", ["start", "sparsity"], "sd").set_index(["start", "sparsity"])
    for content in (csv, parquet):
        kept = content(chart.numbers())
        found = pd.read_csv(BytesIO(kept)) if content is csv else pq.read_table(BytesIO(kept)).to_pandas()
        assert len(found) == len(expected) == 1 + 2 * 4
        found = found.set_index(["start", "sparsity"])[["mean", "sd", "low", "high", "n"]]
        pd.testing.assert_frame_equal(found.loc[expected.index], expected, check_dtype=False, rtol=1e-14)


def test_every_chart_has_numbers_and_a_name_of_its_own(store: Database, study: Study) -> None:
    record(store, study.model_copy(update={"pruners": ("iterative", "admm"), "networks": ("lenet300", "vgg11")}))
    made = places(store, studies.study(store, ID))
    assert all(set(place.charts) == set(CHARTS) for place in made)
    assert {name for place in made for name, charts in place.charts.items() if charts} == set(CHARTS)
    drawn = [chart for place in made for charts in place.charts.values() for chart in charts]
    names = [chart.name for chart in drawn]
    assert len(set(names)) == len(names)
    assert all(name.startswith(ID) for name in names)
    for chart in drawn:
        frame = chart.numbers()
        assert len(frame)
        assert {"dataset", "network"} <= set(frame.columns)


def test_names_of_files_hold_nothing_that_leads_elsewhere() -> None:
    assert file_name("a", "folder:/etc/../x y", 0.1) == "a-folder-etc-..-x-y-0.1"
    assert "/" not in file_name(HOSTILE)


def test_the_zip_holds_what_it_says(store: Database, study: Study) -> None:
    study = study.model_copy(update={"pruners": ("iterative",), "learning_rates": (0.1,)})
    record(store, study)
    steps: list[float] = []
    with zipfile.ZipFile(BytesIO(everything(store, ID, lambda done, what: steps.append(done)))) as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
        assert parse_study(tomllib.loads(archive.read(f"{ID}/study.toml").decode())) == study
        said = archive.read(f"{ID}/README.txt").decode()
        assert "python -m tasks run study.toml --out DIR" in said
        for name, table in tables.tables_from_database(store, ID).items():
            assert name in said
            assert pq.read_table(BytesIO(archive.read(f"{ID}/tables/{name}.parquet"))).equals(table)
            assert len(pd.read_csv(BytesIO(archive.read(f"{ID}/tables/{name}.csv")))) == table.num_rows
        assert archive.read(f"{ID}/report.html").startswith(b"<!doctype html>")
    assert all(name.startswith(f"{ID}/") and ".." not in name for name in names)
    endings = [name.rsplit(".", 1)[1] for name in names if "/charts/" in name]
    assert endings.count("svg") == endings.count("png") == endings.count("csv") == 1 + 1 + 1 + 1 + 1 + 1
    assert steps == sorted(steps)
    assert steps[-1] < 1


def test_a_study_without_results_has_a_zip(store: Database, study: Study) -> None:
    record(store, study, lambda index, stage: "queued")
    with zipfile.ZipFile(BytesIO(everything(store, ID))) as archive:
        assert not [name for name in archive.namelist() if "/charts/" in name]


def opened(app: AppTest, key: str) -> AppTest:
    app.session_state[key] = True
    return rerun(app)


def test_a_chart_is_saved_from_its_menu_and_made_only_then(store: Database, study: Study, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    record(store, study)
    made = []
    monkeypatch.setitem(KINDS, "png", (lambda chart: made.append(chart) or b"", "image/png", "Picture (PNG)"))
    app = open_page("views/study.py", study=ID)
    app.session_state["tab"] = "Accuracy"
    rerun(app)
    assert not [button for button in app.get("download_button") if "accuracy-panel" in button.proto.id]
    opened(app, "accuracy-panel-0-save")
    labels = [button.proto.label for button in app.get("download_button") if "accuracy-panel-0" in button.proto.id]
    assert labels == [label for _, _, label in KINDS.values()]
    assert not made


def test_the_export_menu_offers_all_and_makes_the_zip_when_told(store: Database, study: Study) -> None:
    record(store, study.model_copy(update={"pruners": (), "starts": (), "sparsities": (), "learning_rates": (0.1,)}))
    app = opened(open_page("views/study.py", study=ID), "study_export")
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels[:2] == ["Report (HTML)", "Study (TOML)"]
    assert len(labels) == 2 + len(tables.SCHEMAS)
    app.button(key="study_zip_make").click()
    rerun(app)
    assert any(button.proto.label.startswith("Save the zip (") for button in app.get("download_button"))


def test_a_viewer_whose_link_ended_gets_no_file(store: Database, study: Study, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    record(store, study)
    share, _ = shared_links.create(store, [ID])
    monkeypatch.setattr(access, "is_owner", lambda: False)
    monkeypatch.setattr(access, "link", lambda: share)
    make = menu._while_allowed(lambda: b"all of it")
    assert make() == b"all of it"
    shared_links.revoke(store, share.share_id)
    with pytest.raises(LinkEnded, match="the link has ended"):
        make()
