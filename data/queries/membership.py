"""Which study a stage belongs to, asked from the stage's side."""

from collections.abc import Sequence

import pandas as pd

from data.database.database import Database
from data.database.frames import frame

# Of several studies that share a stage, the latest one that nobody cancelled stands for all.
_QUERY = """
    WITH wanted AS (SELECT unnest($1::VARCHAR[]) AS fingerprint),
    belongs AS (
        SELECT fingerprint, study_id, name AS study, dataset,
            count(*) OVER (PARTITION BY fingerprint)::INTEGER AS studies
        FROM wanted JOIN study_stages USING (fingerprint) JOIN studies USING (study_id)
            LEFT JOIN cancellations USING (study_id)
        QUALIFY row_number() OVER (
            PARTITION BY fingerprint ORDER BY cancelled_at IS NOT NULL, created_at DESC, study_id
        ) = 1
    ),
    pruned AS (
        SELECT study_id, fingerprint, string_agg(DISTINCT pruner, ', ' ORDER BY pruner) AS pruners
        FROM wanted JOIN roles USING (fingerprint) GROUP BY study_id, fingerprint
    )
    SELECT fingerprint, study_id, study, studies, kind, dataset, network, learning_rate, seed,
        coalesce(pruners, '') AS pruners, sparsity, CASE WHEN kind = 'pretrain' THEN 'dense' ELSE start END AS start
    FROM belongs JOIN stages USING (fingerprint) LEFT JOIN pruned USING (study_id, fingerprint)
    ORDER BY fingerprint
"""


def studies_of(store: Database, fingerprints: Sequence[str]) -> pd.DataFrame:
    """Return what is recorded of some stages and which study each belongs to, a row for each that is known.

    Columns: fingerprint, study_id, study (its name), studies (how many have this stage), kind, dataset, network,
    learning_rate, seed, pruners, sparsity, start; the last as in `data.queries.studies.stages`.
    """
    with store.reading() as connection:
        return frame(connection, _QUERY, list(fingerprints))
