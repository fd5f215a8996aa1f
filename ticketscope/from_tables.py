"""The results behind charts, from the exported tables alone, where there is no database."""

import pandas as pd

from app.charts.chart import Subject
from app.export.charts import Place, Results
from data.parquet import pooled
from data.queries.selection import ROLE
from engine.study.plan import Role, plan
from engine.study.spec import Study

# The charts of what the tables lack, and why they cannot be drawn from them.
NOT_IN_TABLES = {
    "time": "the overlap over training time is not among the tables; the study's page and ticketscope.study show it",
    "admm": "ADMM's residuals are not among the tables; the study's page and ticketscope.study show them",
}
_PLACE = ("dataset", "network")


def places_from_tables(study_id: str, study: Study, accuracy: pd.DataFrame, overlap: pd.DataFrame) -> list[Place]:
    """Return the datasets and networks of a study that have results, by name, as `app.export.charts.places` does.

    accuracy, overlap: the exported tables. The results lack what NOT_IN_TABLES names.
    """
    order = _order(study)
    rows, layers = _in_order(_plain(accuracy), order), _in_order(_plain(overlap), order)
    is_lost = rows["diverged_epoch"].notna()
    ratios = _in_order(_plain(pooled(overlap)), order)
    empty = pd.DataFrame(columns=list(_PLACE))
    results = Results(
        accuracy=rows[~is_lost],
        pooled=ratios.assign(chance=ratios["p"]),
        layers=layers[layers["pair"] == "initial_pretrained"],
        residuals=empty,
        supports=empty,
        retained=empty,
        diverged=rows[is_lost].rename(columns={"diverged_epoch": "diverged"}),
    )
    names = sorted(set(results.accuracy[list(_PLACE)].itertuples(index=False, name=None)))
    return [Place(Subject(study_id, study.name, *place), study, results.of(*place)) for place in names]


def _order(study: Study) -> dict[tuple[object, ...], int]:
    """Return the place of each point in the study's plan, which is the order of charts; that of tables is by value."""
    return {tuple(getattr(role, name) for name in ROLE): number for number, role in enumerate(_roles(study))}


def _roles(study: Study) -> tuple[Role, ...]:
    # Points do not depend on the images, nor does which of them are the same training.
    return plan(study, {name: name for name in study.datasets}).roles


def _in_order(rows: pd.DataFrame, order: dict[tuple[object, ...], int]) -> pd.DataFrame:
    points = rows[list(ROLE)].itertuples(index=False, name=None)
    numbers = pd.Series([order.get(point, len(order)) for point in points], rows.index, dtype=int)
    return rows.loc[numbers.sort_values(kind="stable").index].reset_index(drop=True)


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a table with None for missing texts, as queries of the database return them."""
    texts = {
        name: rows[name].astype(object).where(rows[name].notna(), None)
        for name in rows.columns
        if pd.api.types.is_string_dtype(rows[name]) or rows[name].dtype == object
    }
    return rows.assign(**texts)


def finished(study: Study, accuracy: pd.DataFrame) -> tuple[int, int]:
    """Return how many trainings the points of a table of accuracies are, and how many those of its study are."""
    return accuracy["fingerprint"].nunique(), len({role.fingerprint for role in _roles(study)})
