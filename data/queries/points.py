"""The measurements at the points of charts, with one query per quantity for any selection of points.

Units, missing values and UnknownStudy are as in `data.queries.studies`. A selection of several studies adds columns in
front, see `data.queries.selection.Studies`.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from data.database.database import Database, frame
from data.queries.labels import label
from data.queries.selection import ROLE, OneStudy, Roles, Selection, Studies
from data.queries.studies import launched
from engine.study.spec import read_study

_LAUNCHED = """
    SELECT *, list_position($study_ids, study_id) AS place FROM roles
    WHERE study_id IN (SELECT unnest($study_ids::VARCHAR[]))
"""
_PLANNED = "SELECT *, 0 AS place FROM planned"
_POINT = ", ".join(f"role.{name}" for name in ("study_id", "fingerprint", *ROLE))
_PLAN_ORDER = "role.place, role.position"


def accuracy(database: Database, selection: Selection) -> pd.DataFrame:
    """Return one row for each point whose training is done and did not diverge.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner (None for a pretraining), sparsity, start
    ("dense" for a pretraining), epochs, test_accuracy, test_loss (of the last epoch), best_test_accuracy,
    best_test_loss, best_epoch (of the epoch of best test accuracy), measured_sparsity, mask (its hash; None for a
    pretraining, and where it is not recorded), support_moved (the fraction of the weights kept by ADMM's mask that
    one-shot pruning of theta_T would remove; NaN for other masks, and where it is not recorded).
    """
    # The support of ADMM's mask is recorded for the stage of ADMM, which is the parent of the training.
    query = f"""
        SELECT {_POINT}, result.epochs, test_accuracy, test_loss, best_test_accuracy, best_test_loss, best_epoch,
            result.sparsity AS measured_sparsity, mask, support.moved / nullif(support.kept, 0) AS support_moved
        FROM selected AS role JOIN results AS result USING (fingerprint) JOIN stages AS stage USING (fingerprint)
            LEFT JOIN supports AS support ON support.fingerprint = stage.parent
        WHERE diverged IS NULL ORDER BY {_PLAN_ORDER}
    """
    return _read(database, selection, query)


def diverged(database: Database, selection: Selection) -> pd.DataFrame:
    """Return one row for each point whose training diverged.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner, sparsity, start, epochs (the finite ones),
    diverged (the epoch after which a loss was no longer finite, 0 if the parent diverged).
    """
    query = f"""
        SELECT {_POINT}, epochs, diverged FROM selected AS role JOIN results USING (fingerprint)
        WHERE diverged IS NOT NULL ORDER BY {_PLAN_ORDER}
    """
    return _read(database, selection, query)


def overlaps(
    database: Database, selection: Selection, pairs: Sequence[str] | None = None, ps: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return the overlap counts per layer; pairs: some of engine.study.results.PAIRS, by default all.

    ps: the p to read, by default each study's own. Columns: fingerprint, dataset, network, learning_rate, seed, pruner,
    sparsity, start, pair, layer, position (of the layer in the network, from 0), p, intersection, top, size, expected
    (see `engine.counts.Count`; NaN where None).
    """
    query = f"""
        SELECT {_POINT}, pair, layer, count.position, p, intersection, top, size, expected
        FROM selected AS role JOIN overlap_counts AS count USING (fingerprint)
        WHERE {_of_pairs(pairs)} p IN (SELECT unnest($ps::DOUBLE[]))
        ORDER BY {_PLAN_ORDER}, pair, count.position, p
    """
    return _read(database, selection, query, pairs, ps)


def pooled_overlaps(
    database: Database, selection: Selection, pairs: Sequence[str] | None = None, ps: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return the overlap ratios R_p, pooled over layers; pairs: some of engine.study.results.PAIRS, by default all.

    ps: the p to read, by default each study's own. Columns: fingerprint, dataset, network, learning_rate, seed, pruner,
    sparsity, start, pair, p, ratio (NaN if the top p of all layers is empty), layers (their number), chance (the ratio
    of independent weights, p), level (of the mask alone, for pairs of a pruned and a dense network; NaN for other
    pairs, and where it is not recorded for all layers).
    """
    query = f"""
        SELECT {_POINT}, pair, p, ratio, layers, p AS chance, level
        FROM selected AS role JOIN (
            SELECT fingerprint, pair, p, sum(intersection) / nullif(sum(top), 0) AS ratio, count(*)::INTEGER AS layers,
                CASE WHEN count(expected) = count(*) THEN sum(expected) / nullif(sum(top), 0) END AS level
            FROM overlap_counts
            WHERE fingerprint IN (SELECT fingerprint FROM selected) AND {_of_pairs(pairs)}
                p IN (SELECT unnest($ps::DOUBLE[]))
            GROUP BY fingerprint, pair, p
        ) AS pooled USING (fingerprint)
        ORDER BY {_PLAN_ORDER}, pair, p
    """
    return _read(database, selection, query, pairs, ps)


def retention(database: Database, selection: Selection, ps: Sequence[float] | None = None) -> pd.DataFrame:
    """Return R_p(θ₀, θ_t) at the epochs t at which pretrainings measured it.

    ps: the p to read, by default each study's own. Columns: fingerprint, dataset, network, learning_rate, seed, pruner
    (None), sparsity (0), start ("dense"), epochs (T), epoch, p, ratio (NaN if the top p is empty).
    """
    query = f"""
        SELECT {_POINT}, stage.epochs, epoch, p, intersection / nullif(top, 0) AS ratio
        FROM selected AS role JOIN retention USING (fingerprint) JOIN stages AS stage USING (fingerprint)
        WHERE role.start = 'dense' AND p IN (SELECT unnest($ps::DOUBLE[])) ORDER BY {_PLAN_ORDER}, epoch, p
    """
    return _read(database, selection, query, ps=ps)


def epochs(
    database: Database, selection: OneStudy | Studies, fingerprints: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the epochs recorded so far of the stages of one or several studies; fingerprints: only of these stages.

    Rows are in the order of the plan for one study, and of the fingerprints for several. Columns: fingerprint, epoch,
    epoch_learning_rate, train_loss, train_accuracy, test_loss, test_accuracy, seconds.
    """
    order = "position" if isinstance(selection, OneStudy) else "fingerprint"
    values: dict[str, Any] = {"study_ids": _study_ids(selection)}
    some = ""
    if fingerprints is not None:
        some = "AND fingerprint IN (SELECT unnest($fingerprints::VARCHAR[]))"
        values["fingerprints"] = list(fingerprints)
    query = f"""
        WITH part AS (
            SELECT fingerprint, min(position) AS position FROM study_stages
            WHERE study_id IN (SELECT unnest($study_ids::VARCHAR[])) {some} GROUP BY fingerprint
        )
        SELECT fingerprint, epoch, learning_rate AS epoch_learning_rate, train_loss, train_accuracy, test_loss,
            test_accuracy, seconds
        FROM part JOIN epochs USING (fingerprint) ORDER BY {order}, epoch
    """
    with database.reading() as connection:
        launched(connection, values["study_ids"])
        return frame(connection, query, **values)


def _of_pairs(pairs: Sequence[str] | None) -> str:
    return "" if pairs is None else "pair IN (SELECT unnest($pairs::VARCHAR[])) AND"


def _study_ids(selection: OneStudy | Studies) -> list[str]:
    return [selection.study_id] if isinstance(selection, OneStudy) else list(selection.study_ids)


def _read(
    database: Database,
    selection: Selection,
    query: str,
    pairs: Sequence[str] | None = None,
    ps: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Run a query of the table `selected`, whose rows are roles with their study and its place in the selection.

    ps: the query's parameter $ps; None for the p of the plan, or of each study.
    """
    values: dict[str, Any] = {} if pairs is None else {"pairs": list(pairs)}
    reads_p = "$ps" in query
    with database.reading() as connection:
        if isinstance(selection, Roles):
            connection.register("planned", selection.table())
            if reads_p:
                values["ps"] = list(selection.ps if ps is None else ps)
            rows = frame(connection, f"WITH selected AS ({_PLANNED}) {query}", **values)
            return rows.drop(columns="study_id")
        study_ids = _study_ids(selection)
        studies = launched(connection, study_ids)
        own: dict[str, Sequence[float]] = {}
        if reads_p and ps is None:
            own = {study_id: read_study(toml, recorded=True).overlap_p for study_id, (_, toml) in studies.items()}
        if reads_p:
            values["ps"] = sorted({p for each in own.values() for p in each}) if ps is None else list(ps)
        rows = frame(connection, f"WITH selected AS ({_LAUNCHED}) {query}", study_ids=study_ids, **values)
        if len(set(own.values())) > 1:
            rows = rows[_own_p(rows, own)].reset_index(drop=True)
        return rows.drop(columns="study_id") if isinstance(selection, OneStudy) else label(connection, rows, studies)


def _own_p(rows: pd.DataFrame, own: dict[str, Sequence[float]]) -> pd.Series:
    """Return whether each row's p is one of its study's; own: the p of each study."""
    wanted = pd.Series(data=False, index=rows.index)
    for ps in set(map(tuple, own.values())):
        of_these = rows["study_id"].isin([study_id for study_id, each in own.items() if tuple(each) == ps])
        wanted |= of_these & rows["p"].isin(ps)
    return wanted
