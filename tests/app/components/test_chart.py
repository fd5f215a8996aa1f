import pytest
from streamlit.testing.v1 import AppTest

from app.components import chart
from tests.app.dashboard import tables


@pytest.mark.parametrize(("panels", "side_by_side"), [(1, 2), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3), (9, 3)])
def test_no_panel_stands_alone_below_a_row_of_three(panels: int, side_by_side: int) -> None:
    assert chart.columns(panels) == side_by_side


def test_a_short_table_shows_texts_as_written_and_missing_values_as_empty_cells() -> None:
    def script() -> None:
        import pandas as pd

        from app.components import chart

        chart.table(pd.DataFrame({"name": ["*two* $rates$", None], "value": [1.5, float("nan")]}), "rates")

    (table,) = tables(AppTest.from_function(script).run())
    assert table["name"].tolist() == ["*two* $rates$", ""]
    assert table["value"].tolist() == ["1.5", ""]
