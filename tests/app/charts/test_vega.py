import altair as alt
import numpy as np
import pandas as pd
import pytest
from streamlit import dataframe_util

from app.charts import vega

FRAME = pd.DataFrame(
    {
        "name": ["low", None, "high"],
        "mean": [1.5, np.nan, np.inf],
        "n": np.array([1, 2, 3], dtype="int32"),
        "few": pd.array([1, None, 3], dtype="Int64"),
        "finite": [True, False, True],
    },
    index=[7, 3, 5],
)


def test_rows_are_those_that_altair_makes() -> None:
    assert vega.values(FRAME) == alt.utils.data.to_values(FRAME)
    assert vega.values(FRAME)["values"][1] == {"name": None, "mean": None, "n": 2, "few": None, "finite": False}


@pytest.mark.parametrize("rows", [FRAME.iloc[:0], FRAME.assign(at=pd.Timestamp("2026-11-20", tz="UTC"))])
def test_empty_frames_and_columns_of_times_give_the_rows_of_altair(rows: pd.DataFrame) -> None:
    assert vega.values(rows) == alt.utils.data.to_values(rows)


def test_charts_convert_their_rows_by_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    vega.enable()
    assert alt.data_transformers.active == "inline"
    monkeypatch.setattr(vega, "values", lambda frame: {"values": [{"n": len(frame)}]})
    chart = alt.Chart(FRAME).mark_point().encode(x="n:Q").to_dict()
    assert list(chart["datasets"].values()) == [[{"n": 3}]]


def test_a_chart_of_an_address_keeps_the_address() -> None:
    vega.enable()
    chart = alt.Chart("data.csv").mark_point().encode(x="n:Q").to_dict()
    assert chart["data"] == {"url": "data.csv"}


def test_packed_rows_are_what_streamlit_would_send() -> None:
    rows = vega.values(pd.DataFrame({"x": [1.0, None], "n": [1, 2], "name": ["a", "é"]}))["values"]
    assert vega.packed(rows) == dataframe_util.convert_anything_to_arrow_bytes(rows)
