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

        chart.table(pd.DataFrame({"name of θ_T": ["*two* $rates$", None]}), "rates")

    app = AppTest.from_function(script).run()
    (table,) = tables(app)
    assert table["name of θ_T"].tolist() == ["*two* $rates$", ""]
    assert list(app.table[0].value.columns) == [r"name of $\theta_T$"]


def test_a_table_with_numbers_can_be_sorted_and_shows_as_many_decimals_in_each_row() -> None:
    def script() -> None:
        import pandas as pd

        from app.charts.points import LABEL
        from app.components import chart

        rows = {"learning rate": [0.1, 0.001], "ticket": [95.5, 9.25], f"ticket{LABEL}±": [0.5, None]}
        chart.table(pd.DataFrame(rows), "rates")

    app = AppTest.from_function(script).run()
    (frame,) = app.dataframe
    assert frame.value["ticket"].tolist() == [95.5, 9.25]
    columns = frame.proto.columns
    assert '"label": "\\u00b1"' in columns
    assert '"format": "%.2f"' in columns
    (table,) = tables(app)
    assert table.iloc[:, 0].tolist() == ["0.1", "0.001"]
    assert table.iloc[:, 1].tolist() == ["95.50", "9.25"]
    assert table.iloc[:, 2].tolist() == ["0.50", ""]
