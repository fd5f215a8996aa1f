"""The rows of studies and their stages, with one short locked read per function.

Times are UTC with zone, accuracies percent, losses nats, durations seconds. A missing text is None, a missing number
NaN or NA, a missing time NaT. A function of one study raises UnknownStudy for an unknown id, unless its docstring says
otherwise.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

import duckdb
import pandas as pd

from data.database.database import Database, frame
from engine.errors import UserError
from engine.formatting import study_name
from engine.study.spec import Study, read_study, to_toml

STATES = ("waiting", "queued", "running", "done", "failed", "cancelled")

# A stage that was done before the launch may have no event, and so no row in `states`, yet.
_STAGES = """
    SELECT part.*, coalesce(state, CASE WHEN reused THEN 'done' ELSE 'waiting' END) AS state,
        attempt, worker, host, device, error, started_at, finished_at, updated_at
    FROM study_stages AS part LEFT JOIN states USING (fingerprint)
"""

# The place of a study is that of its launch among all, because clocks of hosts differ and jump.
# A study counts as cancelled until it is retried, whatever becomes of stages that it shares with others. Cancellations
# of older versions have no revision; of those, the times of events say whether a stage started again since.
_STUDIES = f"""
    WITH part AS ({_STAGES}),
    progress AS (
        SELECT study_id, count(*)::INTEGER AS stages,
            {", ".join(f"(count(*) FILTER (state = '{name}'))::INTEGER AS {name}" for name in STATES)},
            (count(*) FILTER (reused))::INTEGER AS reused, max(updated_at) AS updated_at, max(finished_at) AS ended_at,
            max(updated_at) FILTER (state IN ('waiting', 'queued', 'running')) AS moved_at
        FROM part GROUP BY study_id
    ),
    cancelling AS (
        SELECT study_id, cancellations.cancelled_at AS cancelled_since,
            cancellations.revision > coalesce(launches.revision, '') AS holds
        FROM cancellations LEFT JOIN launches USING (study_id)
    )
    SELECT studies.*, studies.rowid AS place, progress.* EXCLUDE (study_id),
        CASE
            WHEN holds THEN 'cancelled'
            WHEN done = progress.stages THEN 'done'
            WHEN cancelled_since IS NOT NULL AND holds IS NULL
                AND (cancelled > 0 OR coalesce(moved_at <= cancelled_since, true))
                THEN 'cancelled'
            WHEN running > 0 THEN 'running'
            WHEN failed > 0 AND queued = 0 THEN 'failed'
            WHEN done + failed > progress.reused THEN 'running'
            ELSE 'queued'
        END AS state,
        CASE WHEN state = 'cancelled' THEN cancelled_since END AS cancelled_at,
        greatest(created_at, updated_at, cancelled_since) AS last_event_at,
        CASE WHEN state = 'cancelled' THEN greatest(created_at, cancelled_since)
            WHEN state IN ('done', 'failed') THEN greatest(created_at, ended_at) END
            AS finished_at
    FROM studies LEFT JOIN cancelling USING (study_id) JOIN progress USING (study_id)
"""

# This is the pruner of a stage of ADMM. Older stages lack the field rho_grows, and their rho was constant.
_ADMM = "CASE WHEN CAST(stage.spec::JSON->'$.rho_grows' AS BOOLEAN) THEN 'admm' ELSE 'admm_constant' END"
# A pretraining that sums up the movement of its weights is another stage than the dense network of the charts.
_START = """CASE WHEN kind <> 'pretrain' THEN start
    WHEN CAST(stage.spec::JSON->'$.movement' AS BOOLEAN) THEN 'dense, with movement' ELSE 'dense' END"""


class UnknownStudy(UserError):
    """An id belongs to no study, or to more than one."""


@dataclass(frozen=True)
class StudyRecord:
    """A launched study; toml: with the comments above the recorded one; counts: of its stages, by STATES."""

    study_id: str
    study: Study
    toml: str
    created_at: datetime
    state: str
    counts: dict[str, int]


def studies(database: Database) -> pd.DataFrame:
    """Return every study, the latest first.

    Columns: study_id, name, note, created_at, cancelled_at, state (queued, running, done, failed or cancelled), stages,
    waiting, queued, running, done, failed, cancelled, reused (counts of stages), datasets, networks, learning_rates,
    pruners, starts (lists), seeds (count), last_event_at, finished_at (of a study that has ended).
    """
    lists = ("datasets", "networks", "learning_rates", "pruners", "starts")
    with database.reading() as connection:
        rows = frame(
            connection,
            f"SELECT * EXCLUDE (toml, updated_at, ended_at, moved_at, place) REPLACE (len(seeds)::INTEGER AS seeds) "
            f"FROM ({_STUDIES}) ORDER BY place DESC",
        )
    rows["name"] = list(map(study_name, rows["name"], rows["study_id"]))
    for name in lists:
        rows[name] = pd.Series([list(values) for values in rows[name]], index=rows.index, dtype=object)
    return rows


def find_study(database: Database, prefix: str) -> str:
    """Return the id of the only study whose id begins with a prefix; UnknownStudy, with the choices, without one."""
    # A shell may pass bytes that are not UTF-8, which no id contains.
    prefix = prefix.encode(errors="replace").decode()
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT study_id, name FROM studies WHERE starts_with(study_id, ?) ORDER BY rowid DESC", [prefix]
        ).fetchall()
    if len(rows) == 1 or any(row[0] == prefix for row in rows):
        return prefix if len(rows) != 1 else str(rows[0][0])
    if rows:
        choices = ", ".join(f"{row[0]} ({study_name(row[1], row[0])})" for row in rows[:10])
        raise UnknownStudy(f"{len(rows)} studies begin with {prefix!r}: {choices}; give more of the id")
    raise UnknownStudy(f"no study begins with {prefix!r}; ticketscope status lists them")


def study(database: Database, study_id: str) -> StudyRecord:
    """Return a study as it was launched, and its state."""
    with database.reading() as connection:
        launched(connection, [study_id])
        row = frame(connection, f"SELECT * FROM ({_STUDIES}) WHERE study_id = ?", study_id).iloc[0]
    study = read_study(row["toml"], recorded=True)
    study = study.model_copy(update={"name": study_name(study.name, study_id)})
    comments = takewhile(lambda line: line.startswith("#"), row["toml"].splitlines(keepends=True))
    return StudyRecord(
        study_id=study_id,
        study=study,
        toml="".join(comments) + to_toml(study),
        created_at=row["created_at"].to_pydatetime(),
        state=str(row["state"]),
        counts={name: int(row[name]) for name in STATES},
    )


def stages(database: Database, study_id: str) -> pd.DataFrame:
    """Return every stage of a study, parents before children.

    Columns: fingerprint, kind, dataset, network, learning_rate, seed, pruners (of the points that it is, joined by
    ", "; the pruner of a stage of ADMM; else empty), score, sparsity (aimed at), start ("dense", or "dense, with
    movement", for a pretraining), parent, state, attempt (0 before the first), worker, host, device, started_at,
    finished_at, seconds (of training, once done), error, epochs (to train), epoch (last recorded, 0 before the first),
    test_accuracy (of that epoch), diverged (as in `engine.study.results.StageResult`, with NA for None), reused,
    position.
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
            stage.sparsity, {_START} AS start, parent, state,
            coalesce(attempt, 0)::INTEGER AS attempt, worker, host, coalesce(part.device, result.device) AS device,
            started_at, finished_at, seconds, error, stage.epochs, coalesce(last.epoch, 0)::INTEGER AS epoch,
            last.test_accuracy, diverged, reused, position
        FROM part JOIN stages AS stage USING (fingerprint) LEFT JOIN results AS result USING (fingerprint)
            LEFT JOIN last USING (fingerprint) LEFT JOIN pruned USING (fingerprint)
        ORDER BY position
    """
    return _of_study(database, study_id, query)


def residuals(database: Database, study_id: str) -> pd.DataFrame:
    """Return ADMM's primal residuals |W - Z| / |W| after each round.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner, sparsity, round (from 1), residual.
    """
    query = f"""
        SELECT fingerprint, dataset, network, learning_rate, seed, {_ADMM} AS pruner, sparsity, round, residual
        FROM study_stages AS part JOIN stages AS stage USING (fingerprint) JOIN residuals USING (fingerprint)
        WHERE study_id = $1 ORDER BY position, round
    """
    return _of_study(database, study_id, query)


def supports(database: Database, study_id: str) -> pd.DataFrame:
    """Return one row for each of a study's stages of ADMM that is done and did not diverge.

    Columns: fingerprint, dataset, network, learning_rate, seed, pruner, sparsity, residual (after the last round),
    moved (the fraction of the kept weights that one-shot pruning of theta_T would remove), accuracy, oneshot_accuracy
    (of ADMM's weights and of theta_T right after pruning, without training); the last three are NaN in older results.
    """
    query = f"""
        WITH last AS (SELECT fingerprint, arg_max(residual, round) AS residual FROM residuals GROUP BY fingerprint)
        SELECT fingerprint, dataset, network, learning_rate, seed, {_ADMM} AS pruner, stage.sparsity, residual,
            moved / nullif(kept, 0) AS moved, accuracy, oneshot_accuracy
        FROM study_stages AS part JOIN stages AS stage USING (fingerprint) JOIN results AS result USING (fingerprint)
            LEFT JOIN last USING (fingerprint) LEFT JOIN supports USING (fingerprint)
        WHERE study_id = $1 AND kind = 'admm' AND diverged IS NULL ORDER BY position
    """
    return _of_study(database, study_id, query)


def recorded(database: Database) -> set[str]:
    """Return the fingerprints of all stages with a recorded result."""
    with database.reading() as connection:
        return {str(row[0]) for row in connection.execute("SELECT fingerprint FROM results").fetchall()}


def speeds(database: Database) -> pd.DataFrame:
    """Return the speed of all finished stages, grouped by what it depends on.

    Columns: network, identity (of the dataset), train_images (the study's limit, NaN for all), batch_size, precision,
    device (in words), seconds_per_epoch (with evaluation and measuring), epochs (the number that this is a mean over).
    """
    query = """
        SELECT network, identity, train_images, batch_size, "precision", device,
            sum(seconds) / sum(result.epochs) AS seconds_per_epoch, sum(result.epochs)::BIGINT AS epochs
        FROM results AS result JOIN stages USING (fingerprint)
        WHERE result.epochs > 0
        GROUP BY ALL ORDER BY ALL
    """
    with database.reading() as connection:
        return frame(connection, query)


def studies_of(database: Database, fingerprints: Sequence[str]) -> pd.DataFrame:
    """Return some stages with the study that each belongs to, a row for each recorded stage.

    If several studies share a stage, the row has the latest one that is not cancelled. Columns: fingerprint, study_id,
    study (its name), studies (the number that have this stage), kind, dataset, network, learning_rate, seed, pruners,
    sparsity, start; the last six as in `stages`.
    """
    query = f"""
        WITH wanted AS (SELECT unnest($1::VARCHAR[]) AS fingerprint),
        belongs AS (
            SELECT fingerprint, study_id, name AS study, dataset,
                count(*) OVER (PARTITION BY fingerprint)::INTEGER AS studies
            FROM wanted JOIN study_stages USING (fingerprint) JOIN studies USING (study_id)
                LEFT JOIN cancellations USING (study_id)
            QUALIFY row_number() OVER (
                PARTITION BY fingerprint ORDER BY cancelled_at IS NOT NULL, studies.rowid DESC
            ) = 1
        ),
        pruned AS (
            SELECT study_id, fingerprint, string_agg(DISTINCT pruner, ', ' ORDER BY pruner) AS pruners
            FROM wanted JOIN roles USING (fingerprint) GROUP BY study_id, fingerprint
        )
        SELECT fingerprint, study_id, study, studies, kind, dataset, network, learning_rate, seed,
            coalesce(pruners, '') AS pruners, sparsity, {_START} AS start
        FROM belongs JOIN stages AS stage USING (fingerprint) LEFT JOIN pruned USING (study_id, fingerprint)
        ORDER BY fingerprint
    """
    with database.reading() as connection:
        rows = frame(connection, query, list(fingerprints))
    return rows.assign(study=list(map(study_name, rows["study"], rows["study_id"])))


def provenance(database: Database, study_id: str) -> pd.DataFrame:
    """Return the devices and versions behind a study's results, the most frequent first; no rows for an unknown study.

    Columns: device (in words), versions (text, such as "engine 1, python 3.11.7"), stages (count), reused (the number
    of them that were done before the study began), seconds (of training and measuring, summed), began, ended (UTC, NaT
    if no worker reported it).
    """
    query = """
        SELECT result.device, versions, count(*)::BIGINT AS stages, (count(*) FILTER (reused))::BIGINT AS reused,
            sum(seconds) AS seconds, min(started_at) AS began, max(finished_at) AS ended
        FROM study_stages JOIN results AS result USING (fingerprint) LEFT JOIN states USING (fingerprint)
        WHERE study_id = $1
        GROUP BY result.device, versions ORDER BY stages DESC, result.device, versions
    """
    with database.reading() as connection:
        rows = frame(connection, query, study_id)
    versions = [sorted(json.loads(text).items()) for text in rows["versions"]]
    rows["versions"] = [", ".join(f"{name} {version}" for name, version in pairs) for pairs in versions]
    return rows


def launched(connection: duckdb.DuckDBPyConnection, study_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return name and TOML of studies by id, in the order of the ids; UnknownStudy for an unknown id."""
    ids = list(dict.fromkeys(study_ids))
    rows = connection.execute(
        "SELECT study_id, name, toml FROM studies WHERE study_id IN (SELECT unnest(?::VARCHAR[]))", [ids]
    ).fetchall()
    studies = {str(study_id): (study_name(name, study_id), str(toml)) for study_id, name, toml in rows}
    if missing := [study_id for study_id in ids if study_id not in studies]:
        raise UnknownStudy(f"no study {missing[0]!r}; ticketscope status lists them")
    return {study_id: studies[study_id] for study_id in ids}


def _of_study(database: Database, study_id: str, query: str) -> pd.DataFrame:
    with database.reading() as connection:
        launched(connection, [study_id])
        return frame(connection, query, study_id)
