"""Compares results, rows and files of a study after faults with those of the same study undisturbed."""

import json
from pathlib import Path

import duckdb

from engine.study.results import StageResult

# The tables to compare, each with its columns that depend on the clock, the worker or the study's id.
TABLES = {
    "stages": (),
    "study_stages": ("study_id", "reused"),
    "roles": ("study_id",),
    "results": ("seconds",),
    "epochs": ("seconds",),
    "overlap_counts": (),
    "residuals": (),
    "retention": (),
}
STATES = "SELECT fingerprint, state FROM {}.states"


def numbers(result: StageResult | None) -> object:
    """Return the values of a result that do not depend on the clock."""
    assert result is not None
    values = result.to_json()
    return [epoch[:6] for epoch in values["epochs"]], values["overlaps"], values["sparsity"]


def differing_rows(first: Path, second: Path) -> dict[str, tuple[int, int]]:
    """Return, for each table of two databases of one study, its rows and the number of rows in only one of them."""
    differences = {}
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{first}' AS first (READ_ONLY); ATTACH '{second}' AS second (READ_ONLY)")
        for table, columns in TABLES.items():
            exclude = f"EXCLUDE ({', '.join(columns)})" if columns else ""
            differences[table] = _compare(connection, f"SELECT * {exclude} FROM {{}}.{table}")
        differences["states"] = _compare(connection, STATES)
    return differences


def _compare(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, int]:
    first, second = query.format("first"), query.format("second")
    pairs = ((first, second), (second, first))
    in_one = " + ".join(f"(SELECT count(*) FROM (({a}) EXCEPT ALL ({b})))" for a, b in pairs)
    row = connection.execute(f"SELECT (SELECT count(*) FROM ({first})), {in_one}").fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def differing_files(first: Path, second: Path) -> tuple[int, list[str]]:
    """Return the number of files in two folders of artifacts, and the names of those that differ beyond the clock."""
    names = {str(path.relative_to(root)) for root in (first, second) for path in root.rglob("*") if path.is_file()}
    # A checkpoint is removed when its stage is done, unless a kill prevents that.
    names = {name for name in names if not name.endswith("checkpoint.safetensors") and "/." not in name}
    return len(names), sorted(name for name in names if _content(first / name) != _content(second / name))


def _content(path: Path) -> object:
    if not path.exists():
        return None
    if path.suffix == ".json":
        return numbers(StageResult.from_json(json.loads(path.read_bytes())))
    return path.read_bytes()
