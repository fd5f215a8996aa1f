"""The seeds behind one point of a comparison: their accuracies, and loss and accuracy by epoch."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import pandas as pd
import streamlit as st

from app import words
from app.charts import points, progress
from app.charts.palette import Look, series
from app.charts.picture import Legend
from app.charts.progress import Curve
from app.charts.saving import Saving, file_name
from app.compare.points import KEYS, apart, by_studies, point_id
from app.compare.state import CompareState
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached

MOST_CURVES = 6
_CURVES: tuple[Curve, ...] = get_args(Curve)


def show(state: CompareState, close: Callable[[], None]) -> None:
    """List the seeds behind the point that is chosen, if one is; close: called when the reader has seen enough."""
    if not state.point:
        return
    found = behind(state.studies, by_studies(state), state.point)
    with st.container(border=True, key="compare_seeds"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            if found.empty:
                st.caption("The point that was chosen is not among these results.")
            else:
                st.markdown(f"**{words.plain(_title(found.iloc[0]))}**", width="content")
            st.button("Close", icon=":material/close:", key="compare_close", on_click=close, type="tertiary")
        if not found.empty:
            _table(found)
            _curves(state, found)


@cached(compare_queries.marker, max_entries=32, shared=True)
def behind(study_ids: tuple[str, ...], studies: bool, point: str) -> pd.DataFrame:
    """Return the accuracies behind a point, one row per seed, with `studies`, the names of all that hold it."""
    everything = compare_queries.accuracy(study_ids)
    rows = apart(everything, studies)
    keys = rows[KEYS].drop_duplicates()
    ids = [point_id(key) for key in keys.itertuples(index=False, name=None)]
    named = keys[[name == point for name in ids]].head(1)
    found: pd.DataFrame = rows.merge(named, on=KEYS, how="inner").sort_values("seed", ignore_index=True)
    holding = everything[everything["fingerprint"].isin(found["fingerprint"])][["fingerprint", "study"]]
    names = holding.drop_duplicates().groupby("fingerprint")["study"].agg(", ".join)
    return found.assign(studies=found["fingerprint"].map(names))


def _title(one: pd.Series) -> str:
    what = "dense"
    if one["start"] != "dense":
        what = f"{words.start(one['start'])} · {words.pruner(one['pruner'])} {words.percent(one['sparsity'])}"
    where = [f"learning rate {words.number(one['learning_rate'])}", words.place(one["network"], one["dataset"])]
    told = " · ".join([what, *where, *([one["recipe"]] if one["recipe"] else [])])
    return told[0].upper() + told[1:]


def _table(found: pd.DataFrame) -> None:
    table = pd.DataFrame(
        {
            "Seed": found["seed"],
            "Test accuracy, last epoch (%)": found["test_accuracy"].map("{:.2f}".format),
            "Best epoch (%)": found["best_test_accuracy"].map("{:.2f}".format),
            "At epoch": found["best_epoch"],
            "Test loss, last epoch": found["test_loss"].map("{:.4f}".format),
            "Sparsity measured": [_measured(row) for row in found.itertuples()],
            "Study": found["studies"],
        }
    )
    chart.table(table, "compare_seeds_table")


def _measured(row: Any) -> str:
    percent = words.percent(row.measured_sparsity)
    departs = row.start != "dense" and points.departs(row.dataset, row.network, row.sparsity, row.measured_sparsity)
    return f"{percent}, not {words.percent(row.sparsity)}" if departs else percent


def _curves(state: CompareState, found: pd.DataFrame) -> None:
    looks = _looks(found)
    note = "test images solid, training images dashed"
    if len(found) > MOST_CURVES:
        note += f" · the first {MOST_CURVES} of {len(found)} seeds"
    chart.legend_row(looks.values(), "", note)
    about = _title(found.iloc[0])
    epochs = compare_queries.epochs(state.studies, tuple(found["fingerprint"].head(MOST_CURVES)))
    specs = _drawn(state.studies, by_studies(state), state.point)

    def cell(index: int) -> None:
        curve = _CURVES[index]
        heading = f"Training and test {curve} by epoch, each seed"
        saving = Saving(
            file_name("compare", "seeds", curve, state.point),
            heading,
            partial(numbers, epochs, found, curve),
            about,
            Legend(tuple(looks.values()), "", note),
        )
        chart.show(specs[index], f"compare-{curve}", f"{heading}.", saving)

    chart.grid(len(specs), 2, cell)


def numbers(epochs: pd.DataFrame, found: pd.DataFrame, curve: Curve) -> pd.DataFrame:
    """Return what the curves of some seeds draw, a row per seed and epoch; found: rows of `behind`."""
    columns = ["seed", "fingerprint", "epoch", f"train_{curve}", f"test_{curve}"]
    return epochs.merge(found[["fingerprint", "seed"]], on="fingerprint")[columns]


def _looks(found: pd.DataFrame) -> dict[str, Look]:
    names = [f"seed {seed}" for seed in found["seed"].head(MOST_CURVES)]
    return {name: replace(look, shape="stroke") for name, look in series(names).items()}


@cached(compare_queries.marker, max_entries=32, shared=True)
def _drawn(study_ids: tuple[str, ...], studies: bool, point: str) -> list[chart.Spec]:
    found = behind(study_ids, studies, point).head(MOST_CURVES)
    looks = _looks(found)
    names = dict(zip(found["fingerprint"], looks, strict=True))
    epochs = compare_queries.epochs(study_ids, tuple(found["fingerprint"]))
    epochs = epochs.assign(name=epochs["fingerprint"].map(names))
    total = int(found["epochs"].max())
    return [chart.spec(progress.curves(epochs, looks, curve, total)) for curve in _CURVES]
