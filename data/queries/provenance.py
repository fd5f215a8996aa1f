"""By what, on what and when the results of a study were made."""

import json

import pandas as pd

from data.database.database import Database


def provenance(store: Database, study_id: str) -> pd.DataFrame:
    """Return the kinds of runs behind a study's results, the most frequent first; without rows where there are none.

    Columns: device (in words), versions (text, such as "engine 1, python 3.11.7"), stages (count), reused (of them,
    done before the study began), seconds (of training and measuring, all together), began, ended (UTC, NaT where no
    worker told of it).
    """
    query = """
        SELECT result.device, versions, count(*)::BIGINT AS stages, (count(*) FILTER (reused))::BIGINT AS reused,
            sum(seconds) AS seconds, min(started_at) AS began, max(finished_at) AS ended
        FROM study_stages JOIN results AS result USING (fingerprint) LEFT JOIN states USING (fingerprint)
        WHERE study_id = $1
        GROUP BY result.device, versions ORDER BY stages DESC, result.device, versions
    """
    with store.reading() as connection:
        frame: pd.DataFrame = connection.execute(query, [study_id]).df()
    frame["versions"] = [_told(text) for text in frame["versions"]]
    for name in ("began", "ended"):
        frame[name] = frame[name].dt.tz_localize("UTC")
    return frame


def _told(versions: str) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(json.loads(versions).items()))
