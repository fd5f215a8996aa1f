"""Reading the database: one short locked read per function, answered as a pandas frame.

Times are UTC with zone, accuracies percent, losses nats, durations seconds. A missing text is None, a missing number
NaN or NA, a missing time NaT. All but `studies` and `speeds` raise UnknownStudy for an id that is not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pandas as pd

from data.database.database import Database
from data.database.frames import frame as _frame
from data.queries.points import MEASURED, POINT, POOLED, RESULTS, pooled
from engine.errors import UserError
from engine.study.spec import Study, read_study

STATES = ("waiting", "queued", "running", "done", "failed", "cancelled")

# How a study's stages stand. A stage that was done before the launch may have no event of its own yet.
_STAGES = """
    SELECT part.*, coalesce(state, CASE WHEN reused THEN 'done' ELSE 'waiting' END) AS state,
        attempt, worker, host, device, error, started_at, finished_at, updated_at
    FROM study_stages AS part LEFT JOIN states USING (fingerprint)
"""

# A cancelled study counts as such until a retry has set its stages going again.
_STUDIES = f"""
    WITH part AS ({_STAGES}),
    progress AS (
        SELECT study_id, count(*)::INTEGER AS stages,
            {", ".join(f"(count(*) FILTER (state = '{name}'))::INTEGER AS {name}" for name in STATES)},
            (count(*) FILTER (reused))::INTEGER AS reused, max(updated_at) AS updated_at, max(finished_at) AS ended_at,
            max(updated_at) FILTER (state IN ('waiting', 'queued', 'running')) AS moved_at
        FROM part GROUP BY study_id
    )
    SELECT studies.*, cancelled_at, progress.* EXCLUDE (study_id),
        CASE
            WHEN done = progress.stages THEN 'done'
            WHEN cancelled_at IS NOT NULL AND (cancelled > 0 OR coalesce(moved_at <= cancelled_at, true))
                THEN 'cancelled'
            WHEN running > 0 THEN 'running'
            WHEN failed > 0 AND queued = 0 THEN 'failed'
            WHEN done + failed > progress.reused THEN 'running'
            ELSE 'queued'
        END AS state,
        greatest(created_at, updated_at, cancelled_at) AS last_event_at,
        CASE WHEN state IN ('done', 'failed', 'cancelled') THEN greatest(created_at, ended_at, cancelled_at) END
            AS finished_at
    FROM studies LEFT JOIN cancellations USING (study_id) JOIN progress USING (study_id)
"""


# The pruner that a stage of ADMM is of; what stages lack in their JSON is as it was before they had it.
_ADMM = "CASE WHEN CAST(stage.spec::JSON->'$.rho_grows' AS BOOLEAN) THEN 'admm' ELSE 'admm_constant' END"


class UnknownStudy(UserError):
    """No study of that id, or more than one."""


@dataclass(frozen=True)
class StudyRecord:
    """A launched study: counts maps each of STATES to the number of its stages in it; see `studies` for state."""

    study_id: str
    study: Study
    created_at: datetime
    state: str
    counts: dict[str, int]


def studies(store: Database) -> pd.DataFrame:
    """Return every study, the latest first.

    Columns: study_id, name, note, created_at, cancelled_at, state (queued, running, done, failed or cancelled), stages,
    waiting, queued, running, done, failed, cancelled, reused (counts of stages), datasets, networks, learning_rates,
    pruners, starts (lists), seeds (count), last_event_at, finished_at (of one that came to an end).
    """
    lists = ("datasets", "networks", "learning_rates", "pruners", "starts")
    with store.reading() as connection:
        frame = _frame(
            connection,
            f"SELECT * EXCLUDE (toml, updated_at, ended_at, moved_at) REPLACE (len(seeds)::INTEGER AS seeds) "
            f"FROM ({_STUDIES}) ORDER BY created_at DESC, study_id",
        )
    for name in lists:
        frame[name] = pd.Series([list(values) for values in frame[name]], index=frame.index, dtype=object)
    return frame


def find_study(store: Database, prefix: str) -> str:
    """Return the id of the only study whose id begins so; UnknownStudy, with the choices, where it is not one."""
    # A shell may pass on what is no UTF-8, which no id holds.
    prefix = prefix.encode(errors="replace").decode()
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT study_id, name FROM studies WHERE starts_with(study_id, ?) ORDER BY created_at DESC", [prefix]
        ).fetchall()
    if len(rows) == 1 or any(row[0] == prefix for row in rows):
        return prefix if len(rows) != 1 else str(rows[0][0])
    if rows:
        choices = ", ".join(f"{row[0]} ({row[1]})" for row in rows[:10])
        raise UnknownStudy(f"{len(rows)} studies begin with {prefix!r}: {choices}; give more of the id")
    raise UnknownStudy(f"no study begins with {prefix!r}; python -m tasks status lists them")


def study(store: Database, study_id: str) -> StudyRecord:
    """Return one study as it was launched, and how it stands."""
    with store.reading() as connection:
        _require(connection, study_id)
        row = _frame(connection, f"SELECT * FROM ({_STUDIES}) WHERE study_id = ?", study_id).iloc[0]
    return StudyRecord(
        study_id=study_id,
        study=read_study(row["toml"], kept=True),
        created_at=row["created_at"].to_pydatetime(),
        state=str(row["state"]),
        counts={name: int(row[name]) for name in STATES},
    )


def stages(store: Database, study_id: str) -> pd.DataFrame:
    """Return every stage of a study, parents before children.

    Columns: fingerprint, kind, dataset, network, learning_rate, seed, pruners (those whose points it is, joined by
    ", ", and that of a stage of ADMM; empty for none), score, sparsity (aimed at), start ("dense" for a pretraining),
    parent, state, attempt (0 before the first), worker, host, device, started_at, finished_at, seconds (of training,
    once done), error, epochs (to train), epoch (last recorded, 0 before the first), test_accuracy (of that epoch),
    diverged (as in `engine.study.results.StageResult`, NA where it did not), reused, position.
    """
    query = f"""
        WITH part AS ({_STAGES} WHERE study_id = $1),
        last AS (
            SELECT fingerprint, max(epoch) AS epoch, arg_max(test_accuracy, epoch) AS test_accuracy
            FROM epochs WHERE fingerprint IN (SELECT fingerprint FROM part) GROUP BY fingerprint
        ),
        pruned AS (
            SELECT fingerprint, string_agg(DISTINCT pruner, ', ' ORDER BY pruner) AS pruners
            FROM roles WHERE study_id = $1 GROUP BY fingerprint
        )
        SELECT fingerprint, kind, dataset, network, learning_rate, seed,
            CASE WHEN kind = 'admm' THEN {_ADMM} ELSE coalesce(pruners, '') END AS pruners, score,
            stage.sparsity, CASE WHEN kind = 'pretrain' THEN 'dense' ELSE start END AS start, parent, state,
            coalesce(attempt, 0)::INTEGER AS attempt, worker, host, coalesce(part.device, result.device) AS device,
            started_at, finished_at, seconds, error, stage.epochs, coalesce(last.epoch, 0)::INTEGER AS epoch,
            last.test_accuracy, diverged, reused, position
        FROM part JOIN stages AS stage USING (fingerprint) LEFT JOIN results AS result USING (fingerprint)
            LEFT JOIN last USING (fingerprint) LEFT JOIN pruned USING (fingerprint)
        ORDER BY position
    """
    return _of_study(store, study_id, query)


def accuracy(store: Database, study_id: str) -> pd.DataFrame:
    """Return one row for each point of a study whose training is done and did not diverge, in the order of the plan.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner (None for a pretraining), sparsity, start
    ("dense" for a pretraining), epochs, test_accuracy, test_loss (of the last epoch), best_test_accuracy,
    best_test_loss, best_epoch (of the epoch of best test accuracy), measured_sparsity, mask (a hash of its content;
    None for a pretraining, and where it is not recorded), support_moved (of a mask that ADMM made: the fraction of its
    weights that one-shot pruning of theta_T would remove; NaN where there is none).
    """
    query = f"""
        SELECT {POINT}, {MEASURED}
        FROM roles AS role {RESULTS}
        WHERE study_id = $1 AND diverged IS NULL ORDER BY role.position
    """
    return _of_study(store, study_id, query)


def diverged(store: Database, study_id: str) -> pd.DataFrame:
    """Return one row for each point of a study whose training diverged, in the order of the plan.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner, sparsity, start, epochs (the finite ones),
    diverged (the epoch after which a loss was no longer finite, 0 where what the training is made from diverged).
    """
    query = f"""
        SELECT {POINT}, epochs, diverged FROM roles AS role JOIN results USING (fingerprint)
        WHERE study_id = $1 AND diverged IS NOT NULL ORDER BY role.position
    """
    return _of_study(store, study_id, query)


def epochs(store: Database, study_id: str, fingerprints: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the epochs recorded so far of a study's stages, or of some of them.

    Columns: fingerprint, kind, dataset, network, learning_rate (initial), seed, sparsity, start ("dense" for a
    pretraining), epoch, epoch_learning_rate, train_loss, train_accuracy, test_loss, test_accuracy, seconds.
    """
    wanted = "" if fingerprints is None else "AND fingerprint IN (SELECT unnest($2::VARCHAR[]))"
    query = f"""
        SELECT fingerprint, kind, dataset, network, stage.learning_rate, seed, sparsity,
            CASE WHEN kind = 'pretrain' THEN 'dense' ELSE start END AS start, epoch,
            epochs.learning_rate AS epoch_learning_rate, train_loss, train_accuracy, test_loss, test_accuracy, seconds
        FROM study_stages AS part JOIN stages AS stage USING (fingerprint) JOIN epochs USING (fingerprint)
        WHERE study_id = $1 {wanted} ORDER BY position, epoch
    """
    return _of_study(store, study_id, query, *([] if fingerprints is None else [list(fingerprints)]))


def overlaps(store: Database, study_id: str, pairs: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the overlap counts of a study per layer, at the study's p, for all pairs or some of
    engine.study.results.PAIRS.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner, sparsity, start, pair, layer, position (of the
    layer in the network, from 0), p, intersection, top, size, expected (see `engine.counts.Count`; NaN where None).
    """
    query = f"""
        SELECT {POINT}, pair, layer, count.position, p, intersection, top, size, expected
        FROM roles AS role JOIN overlap_counts AS count USING (fingerprint)
        WHERE study_id = $1 AND p IN (SELECT unnest($2::DOUBLE[])) {_some(pairs)}
        ORDER BY role.position, pair, count.position, p
    """
    return _overlaps(store, study_id, query, pairs)


def pooled_overlaps(store: Database, study_id: str, pairs: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the overlap ratios R_p of a study, pooled over layers, at the study's p.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner, sparsity, start, pair, p, ratio (NaN where no
    layer holds a single weight of its top p), layers, chance (of independent weights: p), level (of the mask alone, for
    pairs of a pruned network and a dense one; NaN for other pairs, and where it is not recorded of all layers).
    """
    wanted = f"""
        fingerprint IN (SELECT fingerprint FROM roles WHERE study_id = $1)
        AND p IN (SELECT unnest($2::DOUBLE[])) {_some(pairs)}
    """
    query = f"""
        WITH pooled AS ({pooled(wanted)})
        SELECT {POINT}, {POOLED}
        FROM roles AS role JOIN pooled USING (fingerprint) WHERE study_id = $1 ORDER BY role.position, pair, p
    """
    return _overlaps(store, study_id, query, pairs)


def residuals(store: Database, study_id: str) -> pd.DataFrame:
    """Return ADMM's primal residuals |W - Z| / |W| after each round.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner, sparsity, round (from 1), residual.
    """
    query = f"""
        SELECT fingerprint, dataset, network, learning_rate, seed, {_ADMM} AS pruner, sparsity, round, residual
        FROM study_stages AS part JOIN stages AS stage USING (fingerprint) JOIN residuals USING (fingerprint)
        WHERE study_id = $1 ORDER BY position, round
    """
    return _of_study(store, study_id, query)


def supports(store: Database, study_id: str) -> pd.DataFrame:
    """Return one row for each of a study's stages of ADMM that is done and did not diverge.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner, sparsity, residual (after the last round),
    moved (the fraction of the weights kept that one-shot pruning of theta_T would remove), accuracy, oneshot_accuracy
    (of ADMM's weights and of theta_T right after pruning, nothing trained); the last three are NaN for results of
    before they were measured.
    """
    query = f"""
        WITH last AS (SELECT fingerprint, arg_max(residual, round) AS residual FROM residuals GROUP BY fingerprint)
        SELECT fingerprint, dataset, network, learning_rate, seed, {_ADMM} AS pruner, stage.sparsity, residual,
            moved / nullif(kept, 0) AS moved, accuracy, oneshot_accuracy
        FROM study_stages AS part JOIN stages AS stage USING (fingerprint) JOIN results AS result USING (fingerprint)
            LEFT JOIN last USING (fingerprint) LEFT JOIN supports USING (fingerprint)
        WHERE study_id = $1 AND kind = 'admm' AND diverged IS NULL ORDER BY position
    """
    return _of_study(store, study_id, query)


def recorded(store: Database) -> set[str]:
    """Return the fingerprints of all stages whose results are recorded."""
    with store.reading() as connection:
        return {str(row[0]) for row in connection.execute("SELECT fingerprint FROM results").fetchall()}


def speeds(store: Database) -> pd.DataFrame:
    """Return how fast stages of each make were trained, measured over all that are done.

    Columns: network, identity (of the dataset), train_images (the study's limit, NaN for all), batch_size, precision,
    device (in words), seconds_per_epoch (with evaluation and measuring), epochs (that the figure rests on).
    """
    query = """
        SELECT network, identity, train_images, batch_size, "precision", device,
            sum(seconds) / sum(result.epochs) AS seconds_per_epoch, sum(result.epochs)::BIGINT AS epochs
        FROM results AS result JOIN stages USING (fingerprint)
        WHERE result.epochs > 0
        GROUP BY ALL ORDER BY ALL
    """
    with store.reading() as connection:
        return _frame(connection, query)


def _overlaps(store: Database, study_id: str, query: str, pairs: Sequence[str] | None) -> pd.DataFrame:
    with store.reading() as connection:
        toml = _require(connection, study_id)
        ps = list(read_study(toml, kept=True).overlap_p)
        return _frame(connection, query, study_id, ps, *([] if pairs is None else [list(pairs)]))


def _some(pairs: Sequence[str] | None) -> str:
    return "" if pairs is None else "AND pair IN (SELECT unnest($3::VARCHAR[]))"


def _of_study(store: Database, study_id: str, query: str, *values: Any) -> pd.DataFrame:
    with store.reading() as connection:
        _require(connection, study_id)
        return _frame(connection, query, study_id, *values)


def _require(connection: duckdb.DuckDBPyConnection, study_id: str) -> str:
    """Return the TOML of a study."""
    row = connection.execute("SELECT toml FROM studies WHERE study_id = ?", [study_id]).fetchone()
    if row is None:
        raise UnknownStudy(f"no study {study_id!r}; python -m tasks status lists them")
    return str(row[0])
