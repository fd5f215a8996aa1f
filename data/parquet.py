"""The tables that `run` and `export` write as Parquet, with the same rows from results and from the database."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.database.database import Database
from data.queries import points as queries
from data.queries.evidence import from_frames
from data.queries.selection import OneStudy
from engine.claims import Verdict, elsewhere, evaluate, need
from engine.study.plan import Plan
from engine.study.results import StageResult
from engine.study.spec import to_toml

TEXT, NUMBER, WHOLE = pa.string(), pa.float64(), pa.int64()
# A dense network has no pruner, and a claim without runs has no effect.
_NULLABLE = ("pruner", "effect", "low", "high", "diverged_epoch", "mask", "support_moved", "expected")


def _field(name: str, kind: pa.DataType, about: str) -> pa.Field:
    return pa.field(name, kind, nullable=name in _NULLABLE, metadata={"description": about})


def _unless_diverged(name: str, kind: pa.DataType, about: str) -> pa.Field:
    metadata = {"description": f"{about}; null where the training diverged"}
    return pa.field(name, kind, nullable=True, metadata=metadata)


STUDY = (
    _field("dataset", TEXT, "name in the study"),
    _field("network", TEXT, "name in engine.registry"),
    _field("learning_rate", NUMBER, "initial learning rate"),
    _field("seed", WHOLE, "repetition"),
    _field("pruner", TEXT, "name in engine.registry; null for dense networks"),
    _field("sparsity", NUMBER, "fraction of prunable weights that were to be removed"),
    _field("start", TEXT, "name in engine.registry; dense for pretraining"),
)
# The key is the last column, because it is for joining and not for reading.
KEY = _field("fingerprint", TEXT, "of the training; one training may stand for several rows")

ACCURACY = pa.schema(
    [
        *STUDY,
        _field("epochs", WHOLE, "trained; of a training that diverged, those of finite loss"),
        _unless_diverged("test_accuracy", NUMBER, "percent, after the last epoch"),
        _unless_diverged("test_loss", NUMBER, "cross-entropy in nats, after the last epoch"),
        _unless_diverged("best_test_accuracy", NUMBER, "percent, the highest after any epoch"),
        _unless_diverged("best_test_loss", NUMBER, "cross-entropy in nats, after the epoch of best test accuracy"),
        _unless_diverged("best_epoch", WHOLE, "from 1, the first of best test accuracy"),
        _unless_diverged("measured_sparsity", NUMBER, "zeros over prunable weights after training"),
        _field(
            "support_moved",
            NUMBER,
            "fraction of the weights that ADMM's mask keeps and one-shot pruning of theta_T to it would not; "
            "null for other masks, and for ADMM of before it was measured",
        ),
        _field(
            "diverged_epoch",
            WHOLE,
            "after which a loss was no longer finite, 0 where what the training is made from diverged; else null",
        ),
        _field(
            "mask",
            TEXT,
            "hash of the mask's content, equal for equal masks; null for dense networks and where it is not recorded",
        ),
        KEY,
    ]
)
OVERLAP = pa.schema(
    [
        *STUDY,
        _field("pair", TEXT, "the two networks compared, see engine.study.results.PAIRS"),
        _field("p", NUMBER, "fraction of a layer's weights in each set; also the chance level of intersection / top"),
        _field("layer", TEXT, "name of the weight tensor"),
        _field("position", WHOLE, "of the layer in the network, from 0"),
        _field("intersection", WHOLE, "weights in both sets"),
        _field("top", WHOLE, "weights in each set"),
        _field("size", WHOLE, "weights ranked: of the layer, or of those that the mask keeps"),
        _field(
            "expected",
            NUMBER,
            "of a fine-tuned network against a dense one, weights in both sets that a random order within the mask has "
            "on average, so that expected / top is the level of the mask alone; null for other pairs, whose level is "
            "p, and where it is not recorded",
        ),
        KEY,
    ]
)
EPOCHS = pa.schema(
    [
        *STUDY,
        _field("epoch", WHOLE, "from 1"),
        _field("epoch_learning_rate", NUMBER, "learning rate of the epoch"),
        _field("train_loss", NUMBER, "cross-entropy in nats, mean over the epoch"),
        _field("train_accuracy", NUMBER, "percent, mean over the epoch"),
        _field("test_loss", NUMBER, "cross-entropy in nats, after the epoch"),
        _field("test_accuracy", NUMBER, "percent, after the epoch"),
        _field("seconds", NUMBER, "wall-clock"),
        KEY,
    ]
)
CLAIMS = pa.schema(
    [
        _field("id", TEXT, "of the claim, see engine.claims"),
        _field("scope", TEXT, "what the verdict is about: a whole claim, or below it one of its comparisons"),
        _field("verdict", TEXT, "holds, fails, undecided, or missing where runs that it needs are not there"),
        _field("effect", NUMBER, "mean over seeds; of a claim of several comparisons, that of the decisive one"),
        _field("low", NUMBER, "lower end of the effect's interval"),
        _field("high", NUMBER, "upper end of the effect's interval"),
        _field("n", WHOLE, "seeds"),
        _field("unit", TEXT, "of the effect: points of accuracy, overlap, or sparsity"),
        _field("rule", TEXT, "when the verdict is which"),
        _field("reason", TEXT, "why it is this one"),
        _field("confidence", NUMBER, "of the interval from low to high"),
        _field("control", pa.bool_(), "whether it is about a pruner of which the paper claims nothing"),
        _field(
            "at_another_rate",
            pa.bool_(),
            "whether it asks at another learning rate what the claim asks at its own; no part of the claim's verdict",
        ),
        _field("needs", TEXT, "what would decide it, of a whole claim that is undecided; else empty"),
    ]
)
SCHEMAS = {"accuracy": ACCURACY, "overlap": OVERLAP, "epochs": EPOCHS, "claims": CLAIMS}
# What a folder that `run` or `export` wrote holds beside its tables.
TOML, ARTIFACTS = "study.toml", "artifacts"
# The columns that order the rows of one point of a study.
ORDER = {"accuracy": (), "overlap": ("pair", "position", "p"), "epochs": ("epoch",)}


def tables_from_results(plan: Plan, results: Mapping[str, StageResult]) -> dict[str, pa.Table]:
    """Return the tables of a plan's finished stages, by name in SCHEMAS; results: by fingerprint.

    Each role whose stage has a result gets one row, or one group of rows; overlaps are those at the study's p.
    """
    ps = set(plan.study.overlap_p)
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in ORDER}
    for role in plan.roles:
        result = results.get(role.fingerprint)
        if result is None:
            continue
        study = (role.dataset, role.network, role.learning_rate, role.seed, role.pruner, role.sparsity, role.start)
        key = role.fingerprint
        scores: tuple[object, ...] = (None,) * 7
        if result.diverged is None:
            final, best = result.final, result.best
            moved = _moved(plan, results, role.fingerprint)
            scores = (final.test_accuracy, final.test_loss, best.test_accuracy, best.test_loss, best.epoch)
            scores = (*scores, result.sparsity, moved)
        rows["accuracy"].append((*study, len(result.epochs), *scores, result.diverged, result.mask, key))
        for overlap in result.overlaps:
            place = {layer: i for i, layer in enumerate(dict.fromkeys(count.layer for count in overlap.counts))}
            rows["overlap"] += [
                (*study, overlap.pair, c.p, c.layer, place[c.layer], c.intersection, c.top, c.size, c.expected, key)
                for c in overlap.counts
                if c.p in ps
            ]
        for e in result.epochs:
            losses = (e.train_loss, e.train_accuracy, e.test_loss, e.test_accuracy)
            rows["epochs"].append((*study, e.epoch, e.learning_rate, *losses, e.seconds, key))
    frames = {name: pd.DataFrame(rows[name], columns=SCHEMAS[name].names) for name in ORDER}
    return _with_claims({name: _table(name, frame) for name, frame in frames.items()})


def _moved(plan: Plan, results: Mapping[str, StageResult], fingerprint: str) -> float | None:
    """Return the fraction of the kept weights that moved under ADMM's mask; None for other masks."""
    parent = plan.stages[fingerprint].parent
    result = None if parent is None else results.get(parent)
    return None if result is None or result.support is None else result.support.fraction


def tables_from_database(database: Database, study_id: str) -> dict[str, pa.Table]:
    """Return the tables of a launched study's finished stages, equal to those of `tables_from_results` for its plan."""
    study = OneStudy(study_id)
    diverged = queries.diverged(database, study).rename(columns={"diverged": "diverged_epoch"})
    finished = [queries.accuracy(database, study), diverged]
    trained = {fingerprint for rows in finished for fingerprint in rows["fingerprint"]}
    epochs = queries.epochs(database, study, sorted(trained))
    columns = epochs[[KEY.name, *(field.name for field in EPOCHS if field not in (*STUDY, KEY))]]
    points = [rows[[field.name for field in (*STUDY, KEY)]] for rows in finished]
    frames = {
        "accuracy": finished,
        "overlap": [queries.overlaps(database, study)],
        "epochs": [rows.merge(columns, on=KEY.name) for rows in points],
    }
    return _with_claims({name: _table(name, *parts) for name, parts in frames.items()})


def pooled(overlap: pd.DataFrame) -> pd.DataFrame:
    """Return the overlap ratios R_p, pooled over layers, of the table of overlaps.

    Columns: those of the study, pair, p, ratio, layers, level; as in `data.queries.points.pooled_overlaps`.
    """
    keys = [*(field.name for field in STUDY), "pair", "p"]
    counted = overlap.assign(lacking=overlap["expected"].isna(), layers=1)
    added = ["intersection", "top", "expected", "lacking", "layers"]
    sums = counted.groupby(keys, dropna=False, sort=False)[added].sum().reset_index()
    top = sums["top"].where(sums["top"] > 0)
    level = (sums["expected"] / top).where(sums["lacking"] == 0)
    return sums.assign(ratio=sums["intersection"] / top, level=level)[[*keys, "ratio", "layers", "level"]]


def _with_claims(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Add the table of verdicts, computed from the other tables."""
    evidence = from_frames(tables["accuracy"].to_pandas(), pooled(tables["overlap"].to_pandas()))
    rows = []
    for verdict in evaluate(*evidence):
        needed = need(verdict)
        rows += _claim_rows(verdict, verdict.control, needed.sentence if needed else "")
    for verdict in elsewhere(*evidence):
        rows += _claim_rows(replace(verdict, parts=()), verdict.control)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(CLAIMS.names)}
    return {**tables, "claims": pa.table(columns, schema=CLAIMS).replace_schema_metadata(None)}


def _claim_rows(verdict: Verdict, control: bool, needs: str = "") -> list[tuple[object, ...]]:
    own = (verdict.effect, verdict.low, verdict.high, verdict.n, verdict.unit, verdict.rule, verdict.reason)
    below = [row for part in verdict.parts for row in _claim_rows(part, control)]
    kinds = (round(verdict.level, 4), control, verdict.at_another_rate, needs)
    return [(verdict.claim, verdict.place, verdict.outcome, *own, *kinds), *below]


def write_trained(plan: Plan, out: Path, train: Callable[[str], Mapping[str, StageResult]]) -> None:
    """Train a plan into a folder: its TOML, its weights and results below ARTIFACTS and, at the end, its tables.

    train: from the URL of weights and results to all results by fingerprint. OSError where the folder is closed.
    """
    # A folder that is read-only is noticed before the first training.
    out.mkdir(parents=True, exist_ok=True)
    (out / TOML).write_text(to_toml(plan.study), encoding="utf-8")
    write(tables_from_results(plan, train(str(out.resolve() / ARTIFACTS))), out)


def write(tables: Mapping[str, pa.Table], out: Path) -> list[Path]:
    """Write tables to <out>/<name>.parquet, each whole or not at all, and return the paths.

    OSError where the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, table in tables.items():
        path = out / f"{name}.parquet"
        aside = out / f".{name}.{secrets.token_hex(8)}.part"
        try:
            pq.write_table(table, aside)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        paths.append(path)
    return paths


def _table(name: str, *parts: pd.DataFrame) -> pa.Table:
    """Return concatenated frames as a table; columns that a frame lacks are null in its rows."""
    schema: pa.Schema = SCHEMAS[name]
    tables = [
        pa.Table.from_pandas(part.reindex(columns=schema.names), schema=schema, preserve_index=False) for part in parts
    ]
    keys = [(column, "ascending") for column in (*(field.name for field in STUDY), *ORDER[name])]
    return pa.concat_tables(tables).combine_chunks().replace_schema_metadata(None).sort_by(keys)
