"""The rows of studies and their stages, with one short locked read per function.

Times are UTC with zone, accuracies percent, losses nats, durations seconds. A missing text is None, a missing number
NaN or NA, a missing time NaT. A function of one study raises UnknownStudy for an unknown id, unless its docstring says
otherwise.
"""

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

# An imported result was trained by the worker, and at the time, of its origin, as long as nothing trains it again here.
_TRAINED = ", ".join(
    f"CASE WHEN lab IS NOT NULL AND states.state = 'done' THEN origin.{name} ELSE states.{name} END AS {name}"
    for name in ("worker", "host", "device", "started_at", "finished_at")
)
# A stage that was done before the launch may have no event, and so no row in `states`, yet.
_STAGES = f"""
    SELECT part.*, coalesce(state, CASE WHEN reused THEN 'done' ELSE 'waiting' END) AS state,
        attempt, {_TRAINED}, error, updated_at, lab, imported_at
    FROM study_stages AS part LEFT JOIN states USING (fingerprint) LEFT JOIN origins AS origin USING (fingerprint)
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
    SELECT study.*, progress.* EXCLUDE (study_id),
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
    FROM {{source}} AS study LEFT JOIN cancelling USING (study_id) JOIN progress USING (study_id)
"""
_LISTED = _STUDIES.format(source="listed")
_TRASHED = _STUDIES.format(source="(FROM named WHERE trashed_at IS NOT NULL)")

# This is the pruner of a stage of ADMM. Older stages lack the field rho_grows, and their rho was constant.
_ADMM = "CASE WHEN CAST(stage.spec::JSON->'$.rho_grows' AS BOOLEAN) THEN 'admm' ELSE 'admm_constant' END"
# A pretraining that sums up the movement of its weights is another stage than the dense network of the charts.
_START = """CASE WHEN kind <> 'pretrain' THEN start
    WHEN CAST(stage.spec::JSON->'$.movement' AS BOOLEAN) THEN 'dense, with movement' ELSE 'dense' END"""


class UnknownStudy(UserError):
    """An id belongs to no study, or to more than one."""


class InTrash(UnknownStudy):
    """A study is in the Trash, where nothing but its list sees it."""

    def __init__(self, study_id: str) -> None:
        super().__init__(f"study {study_id} is in the Trash; ticketscope restore-study {study_id} brings it back")


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
    """Return every study that is not in the Trash, the latest first.

    Columns: study_id, name, note, tags (list), described (changes with these), created_at, cancelled_at, state (queued,
    running, done, failed or cancelled), stages, waiting, queued, running, done, failed, cancelled, reused (counts of
    stages), datasets, networks, learning_rates, pruners, starts (lists), seeds (count), last_event_at, finished_at (of
    a study that has ended).
    """
    return _rows(database, _LISTED, "place DESC")


def trash(database: Database) -> pd.DataFrame:
    """Return every study in the Trash, the one moved there last first; columns: those of `studies`, and trashed_at."""
    return _rows(database, _TRASHED, "trashed_at DESC, place DESC")


def _rows(database: Database, query: str, order: str) -> pd.DataFrame:
    with database.reading() as connection:
        rows = frame(
            connection,
            "SELECT * EXCLUDE (toml, updated_at, ended_at, moved_at, place) REPLACE (len(seeds)::INTEGER AS seeds) "
            f"FROM ({query}) ORDER BY {order}",
        )
    rows["name"] = list(map(study_name, rows["name"], rows["study_id"]))
    for name in ("datasets", "networks", "learning_rates", "pruners", "starts", "tags"):
        rows[name] = pd.Series([list(values) for values in rows[name]], index=rows.index, dtype=object)
    return rows


def find_study(database: Database, prefix: str) -> str:
    """Return the id of the only study whose id begins with a prefix; UnknownStudy, with the choices, without one."""
    # A shell may pass bytes that are not UTF-8, which no id contains.
    prefix = prefix.encode(errors="replace").decode()
    with database.reading() as connection:
        rows = connection.execute(
            "SELECT study_id, name FROM listed WHERE starts_with(study_id, ?) ORDER BY place DESC", [prefix]
        ).fetchall()
        if not rows:
            _require_no_trash(connection, "starts_with(study_id, ?)", prefix)
    if len(rows) == 1 or any(row[0] == prefix for row in rows):
        return prefix if len(rows) != 1 else str(rows[0][0])
    if rows:
        choices = ", ".join(f"{row[0]} ({study_name(row[1], row[0])})" for row in rows[:10])
        raise UnknownStudy(f"{len(rows)} studies begin with {prefix!r}: {choices}; give more of the id")
    raise UnknownStudy(f"no study begins with {prefix!r}; ticketscope status lists them")


def study(database: Database, study_id: str) -> StudyRecord:
    """Return a study as it was launched, but by its present name and note, and its state."""
    with database.reading() as connection:
        launched(connection, [study_id])
        row = frame(connection, f"SELECT * FROM ({_LISTED}) WHERE study_id = ?", study_id).iloc[0]
    study = read_study(row["toml"], recorded=True)
    study = study.model_copy(update={"name": study_name(row["name"], study_id), "note": row["note"]})
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
    finished_at (of an imported stage, those of its origin), seconds (of training, once done), error, epochs (to train),
    epoch (last recorded, 0 before the first), test_accuracy (of that epoch), diverged (as in
    `engine.study.results.StageResult`, with NA for None), reused, position, lab (that an imported stage comes from, ""
    without a name), imported_at (NaT for others).
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
            last.test_accuracy, diverged, reused, position, lab, imported_at
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
            FROM wanted JOIN study_stages USING (fingerprint) JOIN listed USING (study_id)
                LEFT JOIN cancellations USING (study_id)
            QUALIFY row_number() OVER (
                PARTITION BY fingerprint ORDER BY cancelled_at IS NOT NULL, place DESC
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


def launched(connection: duckdb.DuckDBPyConnection, study_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return name and TOML of studies by id, in the order of the ids; UnknownStudy for one unknown or in the Trash."""
    ids = list(dict.fromkeys(study_ids))
    rows = connection.execute(
        "SELECT study_id, name, toml FROM listed WHERE study_id IN (SELECT unnest(?::VARCHAR[]))", [ids]
    ).fetchall()
    studies = {str(study_id): (study_name(name, study_id), str(toml)) for study_id, name, toml in rows}
    if missing := [study_id for study_id in ids if study_id not in studies]:
        _require_no_trash(connection, "study_id = ?", missing[0])
        raise UnknownStudy(f"no study {missing[0]!r}; ticketscope status lists them")
    return {study_id: studies[study_id] for study_id in ids}


def _require_no_trash(connection: duckdb.DuckDBPyConnection, where: str, value: str) -> None:
    row = connection.execute(f"SELECT study_id FROM named WHERE trashed_at IS NOT NULL AND {where}", [value]).fetchone()
    if row is not None:
        raise InTrash(str(row[0]))


def _of_study(database: Database, study_id: str, query: str) -> pd.DataFrame:
    with database.reading() as connection:
        launched(connection, [study_id])
        return frame(connection, query, study_id)
