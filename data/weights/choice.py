"""The one training of a study that a few settings name, such as start, sparsity and seed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from data.database.database import Database, frame
from data.queries.selection import ROLE
from data.queries.studies import launched
from engine.errors import UserError
from engine.study.plan import Stage

# The most values of a setting that an error lists.
MOST_LISTED = 12


class ChoiceError(UserError):
    """Settings name no training of a study, or several."""


@dataclass(frozen=True)
class Training:
    """A training of a study: the point of its charts that it is, its stage, and how far it is.

    pruner: None for a dense network, whose start is "dense" and sparsity 0. state: as in `data.queries.studies.STATES`.
    diverged: as in `engine.study.results.StageResult`. A training that is several points, such as the first round of
    several pruners, is described by the first of them that fits.
    """

    fingerprint: str
    dataset: str
    network: str
    learning_rate: float
    seed: int
    pruner: str | None
    sparsity: float
    start: str
    stage: Stage
    state: str
    diverged: int | None

    def __str__(self) -> str:
        about = f"{self.network} on {self.dataset}, learning rate {self.learning_rate:g}, seed {self.seed}"
        pruned = "" if self.pruner is None else f", {self.pruner} to sparsity {self.sparsity:g}"
        return f"{self.start}{pruned}: {about}"


def find(database: Database, study_id: str, **choice: Any) -> Training:
    """Return the one training of a study that has the chosen values; UnknownStudy for an unknown id.

    choice: by dataset, network, learning_rate, seed, pruner, sparsity (a fraction) or start ("dense" for the network
    before pruning); None chooses nothing. ChoiceError for another setting, if no training has these values, and if
    several have, with the settings that tell them apart.
    """
    point = pick(_points(database, study_id), choice)
    return training(point, Stage.model_validate_json(point["spec"]), str(point["state"]), point["diverged"])


def pick(points: Sequence[Mapping[str, Any]], choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one of some points that `find` would choose; each has the settings of a training and a fingerprint."""
    chosen = {name: value for name, value in choice.items() if value is not None}
    if unknown := [name for name in chosen if name not in ROLE]:
        raise ChoiceError(f"{unknown[0]!r} is no setting of a training; allowed: {', '.join(ROLE)}")
    found = [point for point in points if all(_equal(point[name], value) for name, value in chosen.items())]
    if not found:
        raise ChoiceError(_none(points, chosen))
    if len({point["fingerprint"] for point in found}) > 1:
        raise ChoiceError(_several(found))
    return found[0]


def _points(database: Database, study_id: str) -> list[dict[str, Any]]:
    query = f"""
        SELECT fingerprint, {", ".join(f"role.{name}" for name in ROLE)}, stage.spec, diverged,
            CASE WHEN result.fingerprint IS NOT NULL THEN 'done' ELSE coalesce(state, 'waiting') END AS state
        FROM roles AS role JOIN stages AS stage USING (fingerprint) LEFT JOIN results AS result USING (fingerprint)
            LEFT JOIN states USING (fingerprint)
        WHERE study_id = $1 ORDER BY role.position
    """
    with database.reading() as connection:
        launched(connection, [study_id])
        rows = frame(connection, query, study_id)
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def training(point: Mapping[str, Any], stage: Stage, state: str, diverged: Any) -> Training:
    """Return the training of a point, whose fingerprint is the stage's; diverged: None or NaN where it did not."""
    return Training(
        **{name: str(point[name]) for name in ("fingerprint", "dataset", "network", "start")},
        learning_rate=float(point["learning_rate"]),
        seed=int(point["seed"]),
        pruner=point["pruner"] or None,
        sparsity=float(point["sparsity"]),
        stage=stage,
        state=state,
        diverged=None if pd.isna(diverged) else int(diverged),
    )


def _equal(value: object, wanted: object) -> bool:
    if isinstance(value, float | int) and isinstance(wanted, float | int):
        return math.isclose(value, wanted)
    return value == wanted


def _none(points: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any]) -> str:
    for name, value in chosen.items():
        values = _values(points, name)
        if not any(_equal(other, value) for other in values):
            return f"no training of this study has {name} {value!r}; it has {_listed(values)}"
    # Each value occurs, but not together: the study may have parts, and only pruned networks have a pruner.
    text = ", ".join(f"{name} {value!r}" for name, value in chosen.items())
    last = list(chosen)[-1]
    rest = {name: value for name, value in chosen.items() if name != last}
    fitting = [point for point in points if all(_equal(point[name], value) for name, value in rest.items())]
    remedy = f"with the others it has {last} {_listed(_values(fitting, last))}" if fitting else "leave one of them out"
    return f"no training of this study has {text} together; {remedy}"


def _several(found: Sequence[Mapping[str, Any]]) -> str:
    open_settings = {name: values for name in ROLE if len(values := _values(found, name)) > 1}
    text = "; ".join(f"{name} ({_listed(values)})" for name, values in open_settings.items())
    count = len({point["fingerprint"] for point in found})
    return f"{count} trainings of this study fit; give more of {text}"


def _values(points: Iterable[Mapping[str, Any]], name: str) -> list[Any]:
    values = list(dict.fromkeys(point[name] for point in points if point[name] is not None))
    return values if any(isinstance(value, str) for value in values) else sorted(values)


def _listed(values: list[Any]) -> str:
    more = f" and {len(values) - MOST_LISTED} more" if len(values) > MOST_LISTED else ""
    return ", ".join(repr(value) for value in values[:MOST_LISTED]) + more if values else "none"
