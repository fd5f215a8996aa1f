"""The recorded results of all studies: which there are, how fast they were trained, and where.

Units and missing values are as in `data.queries.studies`.
"""

import json
from collections.abc import Sequence

import pandas as pd

from data.database.database import Database, frame


def recorded(database: Database) -> set[str]:
    """Return the fingerprints of all stages with a recorded result."""
    return _fingerprints(database, "SELECT fingerprint FROM results")


def shown(database: Database) -> set[str]:
    """Return the fingerprints of all stages with a recorded result that not only studies in the Trash have."""
    return _fingerprints(
        database,
        "SELECT fingerprint FROM results "
        "SEMI JOIN (FROM study_stages SEMI JOIN listed USING (study_id)) USING (fingerprint)",
    )


def _fingerprints(database: Database, query: str) -> set[str]:
    with database.reading() as connection:
        return {str(row[0]) for row in connection.execute(query).fetchall()}


def ends(database: Database, fingerprints: Sequence[str]) -> dict[str, tuple[float | None, int | None, float]]:
    """Return last test accuracy, epoch of divergence and seconds of those stages of some that have a result."""
    query = """
        SELECT fingerprint, arg_max(epochs.test_accuracy, epoch), any_value(diverged), any_value(result.seconds)
        FROM results AS result LEFT JOIN epochs USING (fingerprint)
        WHERE fingerprint IN (SELECT unnest($1::VARCHAR[])) GROUP BY fingerprint
    """
    with database.reading() as connection:
        rows = connection.execute(query, [list(fingerprints)]).fetchall()
    return {str(fingerprint): (accuracy, diverged, seconds) for fingerprint, accuracy, diverged, seconds in rows}


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


def provenance(database: Database, study_id: str) -> pd.DataFrame:
    """Return the devices and versions behind a study's results, the most frequent first; no rows for an unknown study.

    Columns: device (in words), versions (text, such as "engine 1, python 3.11.7"), stages (count), reused (the number
    of them that were done before the study began), seconds (of training and measuring, summed), began, ended (UTC, NaT
    if no worker reported it).
    """
    query = """
        SELECT result.device, versions, count(*)::BIGINT AS stages, (count(*) FILTER (reused))::BIGINT AS reused,
            sum(seconds) AS seconds,
            min(CASE WHEN lab IS NULL THEN states.started_at ELSE origin.started_at END) AS began,
            max(CASE WHEN lab IS NULL THEN states.finished_at ELSE origin.finished_at END) AS ended
        FROM study_stages JOIN results AS result USING (fingerprint) LEFT JOIN states USING (fingerprint)
            LEFT JOIN origins AS origin USING (fingerprint)
        WHERE study_id = $1
        GROUP BY result.device, versions ORDER BY stages DESC, result.device, versions
    """
    with database.reading() as connection:
        rows = frame(connection, query, study_id)
    versions = [sorted(json.loads(text).items()) for text in rows["versions"]]
    rows["versions"] = [", ".join(f"{name} {version}" for name, version in pairs) for pairs in versions]
    return rows


def origins(database: Database, study_id: str) -> pd.DataFrame:
    """Return where a study's imported results come from, the most frequent first; no rows for an unknown study.

    Columns: lab ("" without a name), device (in words), hosts (joined by ", ", "" where none is known), stages (count),
    imported_at (of the latest).
    """
    query = """
        SELECT lab, result.device, coalesce(string_agg(DISTINCT origin.host, ', ' ORDER BY origin.host), '') AS hosts,
            count(*)::BIGINT AS stages, max(imported_at) AS imported_at
        FROM study_stages JOIN results AS result USING (fingerprint) JOIN origins AS origin USING (fingerprint)
        WHERE study_id = $1 AND imported_at IS NOT NULL
        GROUP BY lab, result.device ORDER BY stages DESC, lab, result.device
    """
    with database.reading() as connection:
        return frame(connection, query, study_id)


def origins_in_words(rows: pd.DataFrame) -> list[str]:
    """Return a phrase for each row of `origins`: '12 stages from Lab A, trained on cpu (gpu1), on 2026-11-30'."""
    phrases = []
    for row in rows.itertuples():
        count = "1 stage" if row.stages == 1 else f"{row.stages:,} stages"
        where = row.lab or "elsewhere"
        hosts = f" ({row.hosts})" if row.hosts else ""
        phrases.append(f"{count} from {where}, trained on {row.device}{hosts}, on {row.imported_at:%Y-%m-%d}")
    return phrases
