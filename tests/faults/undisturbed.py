"""What a study is compared with after faults: the same study, left alone."""

import json
from pathlib import Path

import duckdb

from engine.study.results import StageResult

# What a study has measured is in these; the columns left out tell of the clock, of who trained it, and of its id.
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
    """Return what a result says, but for the clock."""
    assert result is not None
    values = result.to_json()
    return [epoch[:6] for epoch in values["epochs"]], values["overlaps"], values["sparsity"]


def differing_rows(one: Path, other: Path) -> dict[str, tuple[int, int]]:
    """Compare two databases of one study each; returns for each table its rows and how many are in one alone."""
    found = {}
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{one}' AS one (READ_ONLY); ATTACH '{other}' AS other (READ_ONLY)")
        for table, clock in TABLES.items():
            left_out = f"EXCLUDE ({', '.join(clock)})" if clock else ""
            found[table] = _compare(connection, f"SELECT * {left_out} FROM {{}}.{table}")
        found["states"] = _compare(connection, STATES)
    return found


def _compare(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, int]:
    one, other = query.format("one"), query.format("other")
    only = " + ".join(f"(SELECT count(*) FROM (({a}) EXCEPT ALL ({b})))" for a, b in ((one, other), (other, one)))
    row = connection.execute(f"SELECT (SELECT count(*) FROM ({one})), {only}").fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def differing_files(one: Path, other: Path) -> tuple[int, list[str]]:
    """Compare two folders of artifacts byte for byte, but for the clock in results; returns count and differing."""
    names = {str(path.relative_to(root)) for root in (one, other) for path in root.rglob("*") if path.is_file()}
    # A checkpoint is gone once its stage is done, whole or not, or lies there where the end of it was killed.
    kept = {name for name in names if not name.endswith("checkpoint.safetensors") and "/." not in name}
    return len(kept), sorted(name for name in kept if _content(one / name) != _content(other / name))


def _content(path: Path) -> object:
    if not path.exists():
        return None
    if path.suffix == ".json":
        return numbers(StageResult.from_json(json.loads(path.read_bytes())))
    return path.read_bytes()
