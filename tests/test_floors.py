"""The house rule that imports point down only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("engine", "data", "tasks", "app")
FOREIGN = {
    "engine": {"celery", "redis", "duckdb", "streamlit", "altair", "pandas"},
    "data": {"celery", "redis", "streamlit", "altair"},
    "tasks": {"streamlit", "altair"},
    "app": {"torch"},
}


def imported(file: Path) -> set[str]:
    """Return the top-level packages that a file imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_imports_one_above_it_or_what_belongs_elsewhere(floor: str) -> None:
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    files = list((ROOT / floor).rglob("*.py"))
    assert files
    for file in files:
        assert not imported(file) & (above | FOREIGN[floor]), file.relative_to(ROOT)
