"""Reading several studies together: one short locked read per function, answered as a pandas frame.

Columns are those of `data.queries.studies`, and for each row the study that it comes from (study_id, study), what sets
its trainings apart from the other studies' (recipe, see `data.queries.labels.differing`) and what else does (rounds:
the sparsities pruned to on the way, where trainings of one recipe, point and seed differ in them; else ""). Rows of
different recipe or rounds must not be averaged. A training that several studies share stands once for each of them:
`once` leaves one of them. All functions raise UnknownStudy for an id that is not there.
"""

from collections.abc import Sequence
from typing import Any

import duckdb
import pandas as pd

from data.database.database import Database
from data.database.frames import frame as _frame
from data.queries.labels import differing
from data.queries.points import MEASURED, POINT, POOLED, RESULTS, ROLE, pooled
from data.queries.studies import UnknownStudy
from engine.formatting import percent_value
from engine.study.spec import Study, read_study

_STUDY = ["study_id", "study"]


def revision(store: Database, study_ids: Sequence[str]) -> tuple[int, ...]:
    """Return what changes whenever a result of some studies is recorded or completed, and never otherwise."""
    with store.reading() as connection:
        row = connection.execute(
            """
            SELECT (SELECT count(*) FROM study_stages JOIN results USING (fingerprint)
                    WHERE study_id IN (SELECT unnest($1::VARCHAR[]))),
                (SELECT count(mask) FROM study_stages JOIN results USING (fingerprint)
                    WHERE study_id IN (SELECT unnest($1::VARCHAR[]))),
                (SELECT coalesce(sum(epoch_us(created_at)), 0)::HUGEINT FROM studies
                    WHERE study_id IN (SELECT unnest($1::VARCHAR[])))
            """,
            [list(study_ids)],
        ).fetchone()
    return () if row is None else tuple(int(value) for value in row)


def accuracy(store: Database, study_ids: Sequence[str]) -> pd.DataFrame:
    """Return one row for each study and point whose training is done and did not diverge, by study, as it plans them.

    Columns: study_id, study, recipe, rounds, then those of `data.queries.studies.accuracy`.
    """
    query = f"""
        SELECT study_id, {POINT}, {MEASURED}
        FROM roles AS role {RESULTS}
        WHERE study_id IN (SELECT unnest($1::VARCHAR[])) AND diverged IS NULL ORDER BY study_id, role.position
    """
    with store.reading() as connection:
        return _told(connection, study_ids, lambda _: _frame(connection, query, list(study_ids)))


def pooled_overlaps(
    store: Database, study_ids: Sequence[str], pairs: Sequence[str] | None = None, ps: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return the overlap ratios R_p pooled over layers, of some pairs or all, at some p or those of each study.

    Columns: study_id, study, recipe, rounds, then those of `data.queries.studies.pooled_overlaps`.
    """
    wanted = f"""
        fingerprint IN (SELECT fingerprint FROM roles WHERE study_id IN (SELECT unnest($1::VARCHAR[])))
        AND p IN (SELECT unnest($2::DOUBLE[])) {_some(pairs)}
    """
    query = f"""
        WITH pooled AS ({pooled(wanted)})
        SELECT study_id, {POINT}, {POOLED}
        FROM roles AS role JOIN pooled USING (fingerprint)
        WHERE study_id IN (SELECT unnest($1::VARCHAR[])) ORDER BY study_id, role.position, pair, p
    """
    return _overlaps(store, study_ids, query, pairs, ps)


def layer_overlaps(
    store: Database, study_ids: Sequence[str], pairs: Sequence[str] | None = None, ps: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return the overlap counts per layer, of some pairs or all, at some p or those of each study.

    Columns: study_id, study, recipe, rounds, then those of `data.queries.studies.overlaps`.
    """
    query = f"""
        SELECT study_id, {POINT}, pair, layer, count.position, p, intersection, top, size, expected
        FROM roles AS role JOIN overlap_counts AS count USING (fingerprint)
        WHERE study_id IN (SELECT unnest($1::VARCHAR[])) AND p IN (SELECT unnest($2::DOUBLE[])) {_some(pairs)}
        ORDER BY study_id, role.position, pair, count.position, p
    """
    return _overlaps(store, study_ids, query, pairs, ps)


def retention(store: Database, study_ids: Sequence[str], ps: Sequence[float] | None = None) -> pd.DataFrame:
    """Return R_p(θ₀, θ_t) at the epochs t at which pretrainings measured it, at some p or those of each study.

    Columns: study_id, study, recipe, rounds, fingerprint, dataset, network, learning_rate, seed, pruner (None),
    sparsity (0), start ("dense"), epochs (T), epoch, p, ratio (NaN where no weight is among the largest p).
    """
    query = f"""
        SELECT study_id, {POINT}, stage.epochs, epoch, p, intersection / nullif(top, 0) AS ratio
        FROM roles AS role JOIN retention USING (fingerprint) JOIN stages AS stage USING (fingerprint)
        WHERE study_id IN (SELECT unnest($1::VARCHAR[])) AND role.start = 'dense'
            AND p IN (SELECT unnest($2::DOUBLE[]))
        ORDER BY study_id, role.position, epoch, p
    """
    return _overlaps(store, study_ids, query, None, ps)


def epochs(store: Database, study_ids: Sequence[str], fingerprints: Sequence[str]) -> pd.DataFrame:
    """Return the epochs recorded so far of some trainings, as far as one of the studies holds them.

    Columns: fingerprint, epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds.
    """
    query = """
        SELECT fingerprint, epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds FROM epochs
        WHERE fingerprint IN (SELECT unnest($2::VARCHAR[])) AND fingerprint IN (
            SELECT fingerprint FROM study_stages WHERE study_id IN (SELECT unnest($1::VARCHAR[]))
        )
        ORDER BY fingerprint, epoch
    """
    with store.reading() as connection:
        _studies(connection, study_ids)
        return _frame(connection, query, list(study_ids), list(fingerprints))


def once(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows without the second and further copies of what several studies share, under one recipe."""
    return rows.drop_duplicates([name for name in rows.columns if name not in _STUDY])


def _overlaps(
    store: Database, study_ids: Sequence[str], query: str, pairs: Sequence[str] | None, ps: Sequence[float] | None
) -> pd.DataFrame:
    def read(studies: dict[str, Study]) -> pd.DataFrame:
        wanted = sorted({p for study in studies.values() for p in study.overlap_p} if ps is None else ps)
        rows = _frame(connection, query, list(study_ids), wanted, *([] if pairs is None else [list(pairs)]))
        if ps is not None:
            return rows
        own = {(study_id, p) for study_id, study in studies.items() for p in study.overlap_p}
        kept = [key in own for key in zip(rows["study_id"], rows["p"], strict=True)]
        return rows[pd.Series(kept, index=rows.index, dtype=bool)].reset_index(drop=True)

    with store.reading() as connection:
        return _told(connection, study_ids, read)


def _some(pairs: Sequence[str] | None) -> str:
    return "" if pairs is None else "AND pair IN (SELECT unnest($3::VARCHAR[]))"


def _told(connection: duckdb.DuckDBPyConnection, study_ids: Sequence[str], read: Any) -> pd.DataFrame:
    """Return what was read with the columns that tell studies and recipes apart in front."""
    found = _studies(connection, study_ids)
    studies = {study_id: study for study_id, (_, study) in found.items()}
    rows: pd.DataFrame = read(studies)
    recipes = differing(studies)
    images = _images(connection, study_ids)
    keys = list(zip(rows["study_id"], rows["dataset"], strict=True))
    told = {
        key: ", ".join(part for part in (recipes[key[0]], images.get(key, "")) if part) for key in dict.fromkeys(keys)
    }
    rows.insert(1, "study", pd.Series([found[key[0]][0] for key in keys], dtype=object))
    rows.insert(2, "recipe", pd.Series([told[key] for key in keys], dtype=object))
    rows.insert(3, "rounds", _rounds(connection, rows))
    # Studies stand in the order in which they were asked for.
    place = {study_id: index for index, study_id in enumerate(study_ids)}
    return rows.sort_values("study_id", key=lambda ids: ids.map(place), kind="stable", ignore_index=True)


def _studies(connection: duckdb.DuckDBPyConnection, study_ids: Sequence[str]) -> dict[str, tuple[str, Study]]:
    """Return by id the name of each study, with its id where others have the same, and the study."""
    rows = connection.execute(
        "SELECT study_id, name, toml FROM studies WHERE study_id IN (SELECT unnest($1::VARCHAR[]))", [list(study_ids)]
    ).fetchall()
    if missing := [study_id for study_id in study_ids if study_id not in {row[0] for row in rows}]:
        raise UnknownStudy(f"no study {missing[0]!r}; python -m tasks status lists them")
    names = [row[1] for row in rows]
    return {
        study_id: (name if names.count(name) == 1 else f"{name} ({study_id})", read_study(toml, kept=True))
        for study_id, name, toml in rows
    }


def _images(connection: duckdb.DuckDBPyConnection, study_ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return by study id and dataset which images it means, where studies mean different ones by the same name."""
    rows = connection.execute(
        """
        SELECT DISTINCT study_id, dataset, identity FROM study_stages JOIN stages USING (fingerprint)
        WHERE kind = 'pretrain' AND study_id IN (SELECT unnest($1::VARCHAR[]))
        """,
        [list(study_ids)],
    ).fetchall()
    several: dict[str, set[str]] = {}
    for _, dataset, identity in rows:
        several.setdefault(dataset, set()).add(identity)
    return {(row[0], row[1]): f"images {row[2][-8:]}" for row in rows if len(several[row[1]]) > 1}


def _rounds(connection: duckdb.DuckDBPyConnection, rows: pd.DataFrame) -> pd.Series:
    """Return for each row how its training came to its sparsity, where others of the same point and seed differ."""
    told = pd.Series([""] * len(rows), index=rows.index, dtype=object)
    trainings = rows[[*ROLE, "recipe", "fingerprint"]].drop_duplicates()
    alike = trainings[trainings.duplicated([*ROLE, "recipe"], keep=False)]
    if alike.empty:
        return told
    fingerprints = list(dict.fromkeys(alike["fingerprint"]))
    found = dict(
        connection.execute(
            "SELECT fingerprint, CAST(spec::JSON->'$.rounds' AS DOUBLE[]) FROM stages "
            "WHERE fingerprint IN (SELECT unnest($1::VARCHAR[]))",
            [fingerprints],
        ).fetchall()
    )
    names = {f: f"rounds {', '.join(f'{percent_value(part):.12g}' for part in found[f] or [])} %" for f in fingerprints}
    alike = alike.assign(name=alike["fingerprint"].map(names))
    # Where even those agree, only the trainings themselves tell.
    again = alike.duplicated([*ROLE, "recipe", "name"], keep=False)
    names |= {f: f"training {f[:8]}" for f in alike[again]["fingerprint"]}
    return rows["fingerprint"].map(names).fillna("").astype(object)
