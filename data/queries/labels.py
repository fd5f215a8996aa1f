"""Labels for the differences between rows of several studies that charts do not show: recipe, images and rounds."""

from collections.abc import Mapping

import duckdb
import numpy as np
import pandas as pd

from data.queries.selection import ROLE
from engine.formatting import percent_value
from engine.registry import known_pruner
from engine.study.spec import Study, read_study

# Settings in words, by name; None for a setting that a study does not use.
SettingsInWords = dict[str, str | None]


def label(
    connection: duckdb.DuckDBPyConnection, rows: pd.DataFrame, studies: Mapping[str, tuple[str, str]]
) -> pd.DataFrame:
    """Return rows of points with three columns after study_id: study, recipe and rounds.

    study: the name, with the id if others have the same name. recipe: the settings in which the studies differ (see
    `differing`), and the images if studies have different images of the same name. rounds: the successive sparsities
    if trainings of one recipe, point and seed differ in them; else "". studies: name and TOML by id, as
    `data.queries.studies.launched` returns them.
    """
    names = [name for name, _ in studies.values()]
    titles = {
        study_id: name if names.count(name) == 1 else f"{name} ({study_id})" for study_id, (name, _) in studies.items()
    }
    recipes = differing({study_id: read_study(toml, recorded=True) for study_id, (_, toml) in studies.items()})
    images = _images(connection, list(studies))
    # Rows are many and places few, so that each label is made once.
    codes, places = pd.factorize(pd.MultiIndex.from_frame(rows[["study_id", "dataset"]]))
    study = [titles[study_id] for study_id, _ in places]
    recipe = [
        ", ".join(part for part in (recipes[study_id], images.get((study_id, dataset), "")) if part)
        for study_id, dataset in places
    ]
    rows.insert(1, "study", np.array(study, dtype=object)[codes])
    rows.insert(2, "recipe", np.array(recipe, dtype=object)[codes])
    rows.insert(3, "rounds", _rounds(connection, rows))
    return rows


def once(rows: pd.DataFrame) -> pd.DataFrame:
    """Return labelled rows, with one row for a training that several studies share under one recipe."""
    return rows.drop_duplicates([name for name in rows.columns if name not in ("study_id", "study")])


def differing(studies: Mapping[str, Study]) -> dict[str, str]:
    """Return the settings in which studies differ, by study id, such as "T 100, weight decay 0.01".

    A setting is listed if two studies that use it differ in it; if there is none, the texts are empty.
    """
    any_k = any(study.recipe.rewind_epoch is not None for study in studies.values())
    by_study = {study_id: _settings(study, any_k) for study_id, study in studies.items()}
    names = [
        name
        for name in next(iter(by_study.values()), {})
        if len({settings[name] for settings in by_study.values()} - {None}) > 1
    ]
    return {
        study_id: ", ".join(value for name in names if (value := settings[name]) is not None)
        for study_id, settings in by_study.items()
    }


def _settings(study: Study, with_k: bool) -> SettingsInWords:
    """Return each setting in words; with_k: a study sets its k, which otherwise follows from T."""
    recipe, admm = study.recipe, study.admm
    kinds = {pruner.constant_rho for pruner in map(known_pruner, study.pruners) if pruner.admm}
    return {
        "epochs": f"T {recipe.epochs}",
        "weight_decay": f"weight decay {recipe.weight_decay:g}",
        "batch_size": f"batch {recipe.batch_size}",
        "momentum": f"momentum {recipe.momentum:g}",
        "milestones": f"rate drops after {' and '.join(f'{at:.3g}' for at in recipe.milestones) or 'no part'} of T",
        "decay": f"rate drops by a factor of {recipe.decay:g}",
        "augmentation": f"augmentation {recipe.augmentation.replace('_', ' and ')}",
        "precision": recipe.precision,
        "rewind": f"k {recipe.k}" if with_k else None,
        "train": f"{study.train_images:,} training images" if study.train_images else "all training images",
        "test": f"{study.test_images:,} test images" if study.test_images else "all test images",
        "scope": f"pruned by {study.scope}" if study.pruners else None,
        "rho": f"constant ADMM ρ {_rho(admm.rho)}" if True in kinds else None,
        "rho_start": f"ADMM ρ from {_rho(admm.rho_start)}" if False in kinds else None,
        "rho_end": f"ADMM ρ up to {_rho(admm.rho_end)}" if False in kinds else None,
        "rounds": f"ADMM {admm.rounds} rounds of {admm.period} epochs" if kinds else None,
    }


def _rho(value: float | None) -> str:
    return "automatic" if value is None else f"{value:g}"


def _images(connection: duckdb.DuckDBPyConnection, study_ids: list[str]) -> dict[tuple[str, str], str]:
    """Return a label of the images, by study id and dataset, for names that mean different images in the studies."""
    rows = connection.execute(
        """
        SELECT DISTINCT study_id, dataset, identity FROM study_stages JOIN stages USING (fingerprint)
        WHERE kind = 'pretrain' AND study_id IN (SELECT unnest($1::VARCHAR[]))
        """,
        [study_ids],
    ).fetchall()
    identities: dict[str, set[str]] = {}
    for _, dataset, identity in rows:
        identities.setdefault(dataset, set()).add(identity)
    return {(row[0], row[1]): f"images {row[2][-8:]}" for row in rows if len(identities[row[1]]) > 1}


def _rounds(connection: duckdb.DuckDBPyConnection, rows: pd.DataFrame) -> pd.Series:
    """Return the rounds of each row's training if others of the same point and seed differ in them, else ""."""
    trainings = rows[[*ROLE, "recipe", "fingerprint"]].drop_duplicates()
    alike = trainings[trainings.duplicated([*ROLE, "recipe"], keep=False)]
    if alike.empty:
        return pd.Series([""] * len(rows), index=rows.index, dtype=object)
    fingerprints = list(dict.fromkeys(alike["fingerprint"]))
    sparsities = dict(
        connection.execute(
            "SELECT fingerprint, CAST(spec::JSON->'$.rounds' AS DOUBLE[]) FROM stages "
            "WHERE fingerprint IN (SELECT unnest($1::VARCHAR[]))",
            [fingerprints],
        ).fetchall()
    )
    names = {
        fingerprint: f"rounds {', '.join(f'{percent_value(part):.12g}' for part in sparsities[fingerprint] or [])} %"
        for fingerprint in fingerprints
    }
    alike = alike.assign(name=alike["fingerprint"].map(names))
    # Trainings of equal rounds may differ too, and are then labelled by their fingerprints.
    again = alike.duplicated([*ROLE, "recipe", "name"], keep=False)
    names |= {fingerprint: f"training {fingerprint[:8]}" for fingerprint in alike[again]["fingerprint"]}
    return rows["fingerprint"].map(names).fillna("").astype(object)
