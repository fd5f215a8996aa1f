"""What is trained of a plan, whichever study trained it."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from data.frames import frame
from data.store import Store
from engine.plan import Role

_POINT = ", ".join(
    f"role.{name}"
    for name in ("fingerprint", "dataset", "network", "learning_rate", "seed", "pruner", "sparsity", "start")
)


def accuracy(store: Store, roles: Sequence[Role]) -> pd.DataFrame:
    """Return a row for each role whose training is done and did not diverge, in the order given.

    Columns are those of `data.queries.accuracy`.
    """
    query = f"""
        SELECT {_POINT}, result.epochs, test_accuracy, test_loss, best_test_accuracy, best_test_loss,
            best_epoch, result.sparsity AS measured_sparsity, mask,
            support.moved / nullif(support.kept, 0) AS support_moved
        FROM wanted AS role JOIN results AS result USING (fingerprint) JOIN stages AS stage USING (fingerprint)
            LEFT JOIN supports AS support ON support.fingerprint = stage.parent
        WHERE diverged IS NULL ORDER BY role.position
    """
    return _of_roles(store, roles, query)


def diverged(store: Store, roles: Sequence[Role]) -> pd.DataFrame:
    """Return a row for each role whose training diverged; columns as in `data.queries.diverged`."""
    query = f"""
        SELECT {_POINT}, epochs, diverged FROM wanted AS role JOIN results USING (fingerprint)
        WHERE diverged IS NOT NULL ORDER BY role.position
    """
    return _of_roles(store, roles, query)


def pooled_overlaps(store: Store, roles: Sequence[Role], pairs: Sequence[str], ps: Sequence[float]) -> pd.DataFrame:
    """Return overlap ratios of roles whose training is done; columns as in `data.queries.pooled_overlaps`."""
    query = f"""
        WITH pooled AS (
            SELECT fingerprint, pair, p, sum(intersection) / nullif(sum(top), 0) AS ratio, count(*)::INTEGER AS layers,
                CASE WHEN count(expected) = count(*) THEN sum(expected) / nullif(sum(top), 0) END AS level
            FROM overlap_counts
            WHERE fingerprint IN (SELECT fingerprint FROM wanted) AND pair IN (SELECT unnest($1::VARCHAR[]))
                AND p IN (SELECT unnest($2::DOUBLE[]))
            GROUP BY fingerprint, pair, p
        )
        SELECT {_POINT}, pair, p, ratio, layers, p AS chance, level
        FROM wanted AS role JOIN pooled USING (fingerprint) ORDER BY role.position, pair, p
    """
    return _of_roles(store, roles, query, list(pairs), list(ps))


def studies(store: Store) -> list[tuple[str, str]]:
    """Return id and TOML of every launched study, the latest first."""
    with store.reading() as connection:
        rows = connection.execute("SELECT study_id, toml FROM studies ORDER BY created_at DESC").fetchall()
    return [(str(study_id), str(toml)) for study_id, toml in rows]


def _of_roles(store: Store, roles: Sequence[Role], query: str, *values: object) -> pd.DataFrame:
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
