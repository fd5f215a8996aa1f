"""Trainings whose loss was no longer finite: which of them some studies have, and a sentence that says so."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from data.database.database import Database, frame
from data.queries.studies import launched

# Networks and rates that a sentence names; further ones are counted.
MOST_PLACES = 6


def divergences(database: Database, study_ids: Sequence[str]) -> pd.DataFrame:
    """Return one row for each study and stage that diverged, whether or not it is a point of a chart.

    Columns: study_id, fingerprint, kind, dataset, network, learning_rate, seed, diverged (the epoch after which a loss
    was no longer finite, 0 where what the stage is made from diverged). UnknownStudy for an id that is not there.
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
    """Return in words how a training that diverged ended; at: as in `divergences`."""
    return f"diverged in epoch {at}" if at else "not trained: what it is made from diverged"


def in_words(rows: pd.DataFrame, place: Callable[[str, str], str] = "{} on {}".format) -> str:
    """Return in a sentence how many trainings diverged and which; empty where none did.

    rows: of `divergences`; those of stages that several studies share count once. place: names a network on a dataset.
    """
    if rows.empty:
        return ""
    rows = rows.drop_duplicates("fingerprint")
    trained, untrained = int((rows["diverged"] > 0).sum()), int((rows["diverged"] == 0).sum())
    counts = [f"{trained:,} training{'s' * (trained != 1)} diverged"] * bool(trained)
    if untrained:
        why = f"made from {'them' if trained != 1 else 'it'} could not begin"
        alone = f"training{'s' * (untrained != 1)} could not begin, since what {_they(untrained)} made from diverged"
        counts.append(f"{untrained:,} {why if trained else alone}")
    places = [
        f"{place(network, dataset)}, learning rate {rate:g}, {_seeds(part['seed'])}"
        for (network, dataset, rate), part in rows.groupby(["network", "dataset", "learning_rate"])
    ]
    if len(places) > MOST_PLACES:
        places = [*places[:MOST_PLACES], f"and {len(places) - MOST_PLACES} more"]
    return f"{' and '.join(counts)}: {'; '.join(places)}."


def _they(count: int) -> str:
    return "it is" if count == 1 else "they are"


def _seeds(seeds: Iterable[int]) -> str:
    """Return seeds in short, three or more consecutive ones as a range: seeds 0–4 and 7."""
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
