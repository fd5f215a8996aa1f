"""A database of its own for every test."""

from pathlib import Path

import pytest

from data.database.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "home" / "ticketscope.duckdb")
