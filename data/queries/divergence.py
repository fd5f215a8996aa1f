"""The trainings of studies whose loss was no longer finite, as rows and as a sentence."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from data.database.database import Database, frame
from data.queries.studies import launched

# A sentence names at most this many combinations of network, dataset and rate, and counts the others.
MOST_PLACES = 6


def divergences(database: Database, study_ids: Sequence[str]) -> pd.DataFrame:
    """Return one row for each study and stage that diverged, whether or not it is a point of a chart.

    Columns: study_id, fingerprint, kind, dataset, network, learning_rate, seed, diverged (the epoch after which a loss
    was no longer finite, 0 if the parent diverged). UnknownStudy for an unknown id.
    """
    query = """
        SELECT study_id, fingerprint, kind, dataset, network, learning_rate, seed, diverged
        FROM study_stages JOIN stages USING (fingerprint) JOIN results USING (fingerprint)
        WHERE study_id IN (SELECT unnest($1::VARCHAR[])) AND diverged IS NOT NULL ORDER BY study_id, position
    """
    with database.reading() as connection:
        launched(connection, study_ids)
        return frame(connection, query, list(study_ids))


def outcome(at: int) -> str:
    """Return in words how a training that diverged ended; at: `diverged` of `divergences`."""
    return f"diverged in epoch {at}" if at else "not trained: what it is made from diverged"


def in_words(rows: pd.DataFrame, place: Callable[[str, str], str] = "{} on {}".format) -> str:
    """Return a sentence on how many trainings diverged and which; empty if none did.

    rows: from `divergences`; a stage that several studies share counts once. place: names a network on a dataset.
    """
    if rows.empty:
        return ""
    rows = rows.drop_duplicates("fingerprint")
    trained, untrained = int((rows["diverged"] > 0).sum()), int((rows["diverged"] == 0).sum())
    counts = [f"{trained:,} training{'s' * (trained != 1)} diverged"] * bool(trained)
    if untrained:
        why = f"made from {'them' if trained != 1 else 'it'} could not begin"
        they_are = "it is" if untrained == 1 else "they are"
        alone = f"training{'s' * (untrained != 1)} could not begin, since what {they_are} made from diverged"
        counts.append(f"{untrained:,} {why if trained else alone}")
    places = [
        f"{place(network, dataset)}, learning rate {rate:g}, {_seeds(part['seed'])}"
        for (network, dataset, rate), part in rows.groupby(["network", "dataset", "learning_rate"])
    ]
    if len(places) > MOST_PLACES:
        places = [*places[:MOST_PLACES], f"and {len(places) - MOST_PLACES} more"]
    return f"{' and '.join(counts)}: {'; '.join(places)}."


def _seeds(seeds: Iterable[int]) -> str:
    """Return seeds in words, with a range for three or more consecutive ones, such as 'seeds 0–4 and 7'."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    parts = [text for run in runs for text in ([f"{run[0]}–{run[-1]}"] if len(run) > 2 else map(str, run))]
    if len(parts) == 1 and "–" not in parts[0]:
        return f"seed {parts[0]}"
    return f"seeds {', '.join(parts[:-1])}{' and ' * (len(parts) > 1)}{parts[-1]}"
