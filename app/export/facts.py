"""The facts about a study in its report: its state, recipe, hardware and failures."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

from app import words
from app.components.same_masks import seed_ranges
from app.components.stage_names import stage_names
from data.queries.results import origins_in_words
from data.queries.studies import StudyRecord
from engine.registry import known_pruner
from engine.study.plan import rounds_described
from engine.study.recipe import Admm

Facts = list[tuple[str, str]]

MOST_FAILURES = 20

_AUGMENTATIONS = {
    "crop_flip": "random crop and horizontal flip",
    "crop": "random crop",
    "flip": "horizontal flip",
    "none": "none",
}


def unfinished(record: StudyRecord, total: int) -> str:
    """Return a warning that a study is unfinished; empty for one that is done."""
    if record.state == "done":
        return ""
    counts = record.counts
    missing = [f"{counts[name]:,} {name}" for name in ("running", "queued", "waiting", "failed", "cancelled")]
    unfinished = words.listing([text for text in missing if not text.startswith("0 ")])
    state = {"failed": "has failed", "cancelled": "was cancelled"}.get(record.state, f"is {record.state}")
    return (
        f"This study is not complete: it {state}, with {counts['done']:,} of {words.plural(total, 'stage')} done "
        f"({unfinished}). The report shows the results that were recorded when it was made."
    )


def summary(record: StudyRecord, provenance: pd.DataFrame, total: int) -> str:
    """Return a study's state, the end of its training, device and versions in one line; provenance: as in `general`."""
    parts = [record.state, f"{record.counts['done']:,} of {words.plural(total, 'stage')} done"]
    if len(provenance):
        devices = words.listing(list(dict.fromkeys(provenance["device"])))
        parts.append(f"trained until {moment(provenance['ended'].max())} on {devices}")
        parts.append(provenance["versions"].iloc[0])
    return " · ".join(parts)


def general(record: StudyRecord, provenance: pd.DataFrame, origins: pd.DataFrame, total: int, now: datetime) -> Facts:
    """Return the facts about a study and its training; provenance, origins: as of `data.queries.results`."""
    study = record.study
    rates, seeds = sorted(study.learning_rates), study.seeds
    facts = [
        ("State", f"{record.state}, {record.counts['done']:,} of {words.plural(total, 'stage')} done"),
        ("Datasets", ", ".join(words.dataset(name) for name in study.datasets)),
        ("Networks", ", ".join(words.network(name) for name in study.networks)),
        (f"Learning rate{'s' * (len(rates) > 1)}", words.numbers(rates)),
        ("Pruners", words.listing([words.pruner(name) for name in study.pruners]) or "none, dense networks only"),
        ("Sparsities", ", ".join(words.percent(value) for value in study.sparsities) or "none"),
        *(("Rounds of iterative pruning", rounds) for rounds in rounds_described(study)),
        ("Starts", words.listing([words.start(name) for name in study.starts]) or "none"),
        (f"Seeds (n = {len(seeds)})", seed_ranges(seeds).partition(" ")[2]),
        ("Launched", moment(record.created_at)),
    ]
    if len(provenance):
        began, ended = provenance["began"].min(), provenance["ended"].max()
        facts += [
            ("Trained", f"{moment(began)} to {moment(ended)}"),
            ("Time of training", f"{words.duration(float(provenance['seconds'].sum()))}, all stages one after another"),
            ("Hardware", "; ".join(_counted(provenance, "device"))),
            ("Versions", "; ".join(_counted(provenance, "versions"))),
        ]
        if reused := int(provenance["reused"].sum()):
            facts.append(("Reused", f"{words.plural(reused, 'stage')} done before this study was launched"))
    if len(origins):
        facts.append(("Imported", "; ".join(origins_in_words(origins))))
    return [*facts, ("Study", record.study_id), ("Report made", moment(now))]


def recipe(record: StudyRecord) -> Facts:
    """Return the facts about the recipe of every training of a study."""
    study, settings = record.study, record.study.recipe
    drops = ", ".join(f"{round(fraction * settings.epochs):,}" for fraction in settings.milestones)
    facts = [
        ("Epochs (T)", f"{settings.epochs:,}"),
        ("Batch size", f"{settings.batch_size:,}"),
        ("Momentum", words.number(settings.momentum)),
        ("Weight decay", words.number(settings.weight_decay)),
        (
            "Learning rate drops",
            f"by a factor of {words.number(settings.decay)} after epochs {drops}" if drops else "no",
        ),
        ("Augmentation", _AUGMENTATIONS[settings.augmentation]),
        ("Precision", settings.precision),
        ("Rewind epoch (k)", str(settings.k)),
        ("Pruning scope", {"layer": "every layer alike", "global": "all layers together"}[study.scope]),
        ("p of the overlap ratio", words.numbers(study.overlap_p)),
        ("Training images", "all" if study.train_images is None else f"{study.train_images:,}"),
        ("Test images", "all" if study.test_images is None else f"{study.test_images:,}"),
    ]
    by_admm = [name for name in study.pruners if known_pruner(name).admm]
    facts += [(words.pruner(name), _admm(study.admm, known_pruner(name).constant_rho)) for name in by_admm]
    if study.parts:
        facts.append(("Parts", f"{len(study.parts)}; not all combinations are trained, see the study's TOML below"))
    return facts


def _admm(settings: Admm, constant: bool) -> str:
    def rho(value: float | None) -> str:
        return "automatic" if value is None else words.number(value)

    growing = f"from {rho(settings.rho_start)} to {rho(settings.rho_end)}, growing by a constant factor per round"
    return f"{settings.rounds} rounds of {settings.period} epochs, rho {rho(settings.rho) if constant else growing}"


def failures(stages: pd.DataFrame) -> tuple[Facts, int]:
    """Return the failed stages with the last line of their errors, and how many more there are."""
    failed = stages[stages["state"] == "failed"]
    names = stage_names(stages)
    listed = [
        (names[row.fingerprint], ((row.error or "").strip().splitlines() or ["the worker reported no error"])[-1])
        for row in failed.head(MOST_FAILURES).itertuples()
    ]
    return listed, max(0, len(failed) - MOST_FAILURES)


def moment(value: datetime | float | None) -> str:
    """Return a time as a date and a time of day in UTC; an em dash where there is none."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "—"
    stamp = pd.Timestamp(value)
    return f"{(stamp if stamp.tzinfo else stamp.tz_localize(UTC)).tz_convert(UTC):%-d %B %Y, %H:%M} UTC"


def _counted(provenance: pd.DataFrame, name: str) -> Sequence[str]:
    """Return the values of a column, each with its number of stages where there are several."""
    counts = provenance.groupby(name, sort=False)["stages"].sum()
    return [str(v) if len(counts) == 1 else f"{v} ({words.plural(int(c), 'stage')})" for v, c in counts.items()]
