"""The seeds of one point of a comparison: their accuracies, and loss and accuracy by epoch."""

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import pandas as pd
import streamlit as st

from app import words
from app.charts import points, progress
from app.charts.chart import Chart, file_name
from app.charts.marks import rate_name
from app.charts.picture import Legend
from app.charts.progress import CURVES_NOTE, Curve
from app.compare.points import KEYS, by_studies, comparable, point_id
from app.compare.state import CompareState
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached

MOST_CURVES = 6
_CURVES: tuple[Curve, ...] = get_args(Curve)


def show(state: CompareState, close: Callable[[], None]) -> None:
    """List the seeds of the point that the reader chose, if any; the button that closes the list calls `close`."""
    if not state.point:
        return
    rows = seed_rows(state.studies, by_studies(state), state.point)
    with st.container(border=True, key="compare_seeds"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            if rows.empty:
                st.caption("These results do not include the point in the address. Click another one.")
            else:
                st.markdown(f"**{words.plain(_title(rows.iloc[0]))}**", width="content")
            st.button("Close", icon=":material/close:", key="compare_close", on_click=close, type="tertiary")
        if not rows.empty:
            _table(rows)
            charts = _curves(state.studies, by_studies(state), state.point)
            chart.legend_of(charts[0])
            chart.grid(len(charts), 2, lambda index: chart.show(charts[index], f"compare-{_CURVES[index]}"))


@cached(compare_queries.marker, max_entries=32, shared=True)
def seed_rows(study_ids: tuple[str, ...], studies: bool, point: str) -> pd.DataFrame:
    """Return the accuracies of a point, a row per seed; the column studies names all studies that include the seed."""
    all_rows = compare_queries.accuracy(study_ids)
    rows = comparable(all_rows, studies)
    keys = rows[KEYS].drop_duplicates()
    ids = [point_id(key) for key in keys.itertuples(index=False, name=None)]
    key = keys[[name == point for name in ids]].head(1)
    seeds: pd.DataFrame = rows.merge(key, on=KEYS, how="inner").sort_values("seed", ignore_index=True)
    members = all_rows[all_rows["fingerprint"].isin(seeds["fingerprint"])][["fingerprint", "study"]]
    names = members.drop_duplicates().groupby("fingerprint")["study"].agg(", ".join)
    return seeds.assign(studies=seeds["fingerprint"].map(names))


def _title(row: pd.Series) -> str:
    """Return the point of a row in words."""
    network = "dense"
    if row["start"] != "dense":
        network = f"{words.start(row['start'])} · {words.pruner(row['pruner'])} {words.percent(row['sparsity'])}"
    parts = [network, rate_name(row["learning_rate"]), words.place(row["network"], row["dataset"]), row["recipe"]]
    text = " · ".join(part for part in parts if part)
    return text[0].upper() + text[1:]


def _table(rows: pd.DataFrame) -> None:
    table = pd.DataFrame(
        {
            "Seed": rows["seed"],
            "Test accuracy, last epoch (%)": rows["test_accuracy"].map("{:.2f}".format),
            "Best epoch (%)": rows["best_test_accuracy"].map("{:.2f}".format),
            "At epoch": rows["best_epoch"],
            "Test loss, last epoch": rows["test_loss"].map("{:.4f}".format),
            "Sparsity measured": [_measured(row) for row in rows.itertuples()],
            "Study": rows["studies"],
        }
    )
    chart.table(table, "compare_seeds_table")


def _measured(row: Any) -> str:
    percent = words.percent(row.measured_sparsity)
    departs = row.start != "dense" and points.departs(row.dataset, row.network, row.sparsity, row.measured_sparsity)
    return f"{percent}, not {words.percent(row.sparsity)}" if departs else percent


def numbers(epochs: pd.DataFrame, rows: pd.DataFrame, curve: Curve) -> pd.DataFrame:
    """Return the values of the curves of some seeds, a row per seed and epoch; rows: of `seed_rows`."""
    columns = ["seed", "fingerprint", "epoch", f"train_{curve}", f"test_{curve}"]
    return epochs.merge(rows[["fingerprint", "seed"]], on="fingerprint")[columns]


@cached(compare_queries.marker, max_entries=32, shared=True)
def _curves(study_ids: tuple[str, ...], studies: bool, point: str) -> list[Chart]:
    rows = seed_rows(study_ids, studies, point)
    first = rows.head(MOST_CURVES)
    looks = progress.curve_looks(f"seed {seed}" for seed in first["seed"])
    note = CURVES_NOTE
    if len(rows) > MOST_CURVES:
        note += f" · the first {MOST_CURVES} of {len(rows)} seeds"
    epochs = compare_queries.epochs(study_ids, tuple(first["fingerprint"]))
    with_names = epochs.assign(name=epochs["fingerprint"].map(dict(zip(first["fingerprint"], looks, strict=True))))
    total = int(first["epochs"].max())
    charts = []
    for curve in _CURVES:
        title = f"Training and test {curve} by epoch, each seed"
        charts.append(
            Chart(
                name=file_name("compare", "seeds", curve, point),
                spec=progress.draw_curves(with_names, looks, curve, total),
                title=title,
                alt=f"{title}.",
                numbers=partial(numbers, epochs, rows, curve),
                about=_title(rows.iloc[0]),
                legend=Legend(tuple(looks.values()), note=note),
            )
        )
    return charts
