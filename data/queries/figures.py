"""What is trained of a plan, whichever study trained it."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from data.database.database import Database
from data.database.frames import frame
from data.queries.points import MEASURED, POINT, POOLED, RESULTS, pooled
from engine.study.plan import Role


def accuracy(store: Database, roles: Sequence[Role]) -> pd.DataFrame:
    """Return a row for each role whose training is done and did not diverge, in the order given.

    Columns are those of `data.queries.studies.accuracy`.
    """
    query = f"""
        SELECT {POINT}, {MEASURED}
        FROM wanted AS role {RESULTS}
        WHERE diverged IS NULL ORDER BY role.position
    """
    return _of_roles(store, roles, query)


def diverged(store: Database, roles: Sequence[Role]) -> pd.DataFrame:
    """Return a row for each role whose training diverged; columns as in `data.queries.studies.diverged`."""
    query = f"""
        SELECT {POINT}, epochs, diverged FROM wanted AS role JOIN results USING (fingerprint)
        WHERE diverged IS NOT NULL ORDER BY role.position
    """
    return _of_roles(store, roles, query)


def pooled_overlaps(store: Database, roles: Sequence[Role], pairs: Sequence[str], ps: Sequence[float]) -> pd.DataFrame:
    """Return overlap ratios of roles whose training is done; columns as in `data.queries.studies.pooled_overlaps`."""
    wanted = """
        fingerprint IN (SELECT fingerprint FROM wanted) AND pair IN (SELECT unnest($1::VARCHAR[]))
        AND p IN (SELECT unnest($2::DOUBLE[]))
    """
    query = f"""
        WITH pooled AS ({pooled(wanted)})
        SELECT {POINT}, {POOLED}
        FROM wanted AS role JOIN pooled USING (fingerprint) ORDER BY role.position, pair, p
    """
    return _of_roles(store, roles, query, list(pairs), list(ps))


def studies(store: Database) -> list[tuple[str, str]]:
    """Return id and TOML of every launched study, the latest first."""
    with store.reading() as connection:
        rows = connection.execute("SELECT study_id, toml FROM studies ORDER BY created_at DESC").fetchall()
    return [(str(study_id), str(toml)) for study_id, toml in rows]


def _of_roles(store: Database, roles: Sequence[Role], query: str, *values: object) -> pd.DataFrame:
    columns: dict[str, list[object]] = {name: [] for name in Role.__dataclass_fields__}
    for role in roles:
        for name, value in vars(role).items():
            columns[name].append(value)
    columns["position"] = list(range(len(roles)))
    types = {"learning_rate": pa.float64(), "sparsity": pa.float64(), "seed": pa.int64(), "position": pa.int32()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    with store.reading() as connection:
        connection.register("wanted", pa.table(columns, schema=schema))
        return frame(connection, query, *values)
