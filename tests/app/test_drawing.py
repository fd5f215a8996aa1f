import pytest

from app import drawing


@pytest.mark.parametrize(("panels", "side_by_side"), [(1, 2), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3), (9, 3)])
def test_no_panel_stands_alone_below_a_row_of_three(panels: int, side_by_side: int) -> None:
    assert drawing.columns(panels) == side_by_side
