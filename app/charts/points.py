"""The points of charts: means over seeds with their spread, and notes on sparsities that differ from the request."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from app import words
from data.datasets.registry import DATASETS
from engine.formatting import percent_value
from engine.registry import NETWORKS
from engine.study.layers import known
from engine.study.mask_sizes import rounding

Spread = Literal["sd", "se", "ci", "range"]

SPREADS: dict[Spread, str] = {
    "sd": "standard deviation",
    "se": "standard error",
    "ci": "95 % interval",
    "range": "min to max",
}


# Accuracy, or for each seed the accuracy of a pruned network minus that of its dense network.
Quantity = Literal["accuracy", "below_dense"]
QUANTITIES: dict[Quantity, str] = {"accuracy": "test accuracy", "below_dense": "difference from dense"}
ABOUT_QUANTITIES = (
    "Difference from dense: for each seed, the pruned network minus its dense network, so that chance which both share "
    "cancels out."
)

# What vertical axes hold: all starts but one that alone stretches them, all of all panels, or all of each panel.
Fit = Literal["near", "same", "each"]
FITS: dict[Fit, str] = {"near": "where starts lie together", "same": "all points", "each": "fitted to each panel"}
ABOUT_FITS = (
    "Where one start alone lies far below the others, the axis fits the others; its points are marked at the foot with "
    "their values."
)

# How sparsities are spaced: by the logarithm of the weights left, or by the weights removed.
LEFT, EVEN = "by what is left", "even"
ABOUT_SPACING = "By what is left: 80, 90 and 95 % are as far apart as 0, 50 and 75 %, since each halves what is left."
# From this sparsity on, an axis is spaced by what is left at first: below, the spacing hardly differs.
SPREAD_FROM = 0.8


def is_spread(sparsities: pd.Series) -> bool:
    """Return whether an axis of sparsities is spaced by what is left at first."""
    return bool(len(sparsities)) and float(sparsities.max()) >= SPREAD_FROM


def band_words(spread: Spread) -> str:
    """Return what a shaded band shows, in words."""
    return "± " * (spread != "range") + f"{SPREADS[spread]} over seeds"


def near_p(ps: Sequence[float]) -> float:
    """Return the p of charts by sparsity: the one nearest to 0.2, the p of the paper's table."""
    return min(ps, key=lambda p: abs(p - 0.2))


def at_p(rows: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return the rows of overlaps at one p."""
    return rows[rows["p"].round(4) == round(p, 4)]


def summarise(frame: pd.DataFrame, value: str, by: Sequence[str], spread: Spread) -> pd.DataFrame:
    """Return one row per group with the mean of a column over seeds and its spread.

    Columns: by, then mean, sd, low, high, n. sd is the sample standard deviation (n - 1); the 95 % interval is that of
    the mean, by Student's t. With one seed, sd, low and high are missing.
    """
    groups = frame.groupby(list(by), dropna=False, sort=True)[value]
    table = groups.agg(mean="mean", sd="std", smallest="min", largest="max", n="count").reset_index()
    if spread == "range":
        low, high = table["smallest"], table["largest"]
    else:
        half = table["sd"] * _factor(table["n"].to_numpy(dtype=float), spread)
        low, high = table["mean"] - half, table["mean"] + half
    several = table["n"] > 1
    table["low"], table["high"] = low.where(several), high.where(several)
    return table.drop(columns=["smallest", "largest"])[[*by, "mean", "sd", "low", "high", "n"]]


def minus_dense(accuracy: pd.DataFrame, value: str, among: Sequence[str] = ()) -> pd.DataFrame:
    """Return the pruned rows, a column of them minus that of the dense network of the same learning rate and seed.

    among: further columns that a row shares with its dense network. A row without its dense network has no value.
    """
    keys = [*among, "learning_rate", "seed"]
    dense = accuracy[accuracy["start"] == "dense"].drop_duplicates(keys).set_index(keys)[[value]]
    pruned = accuracy[accuracy["start"] != "dense"]
    joined = pruned[keys].join(dense, on=keys)[value]
    return pruned.assign(**{value: pruned[value] - joined})


# A start stretches an axis if the others need less than this share of it.
STRETCHES = 0.4


def stretching(points: pd.DataFrame) -> str | None:
    """Return the start whose low means alone stretch an axis, so that the others lie together; points: start, mean."""
    points = points.dropna(subset=["mean"])
    if points["start"].nunique() < 3:
        return None
    lowest = str(points.loc[points["mean"].idxmin(), "start"])
    others = points[points["start"] != lowest]["mean"]
    whole, rest = float(points["mean"].max() - points["mean"].min()), float(others.max() - others.min())
    return lowest if rest < STRETCHES * whole else None


def means(rows: pd.DataFrame, value: str, by: Iterable[str], spread: Spread) -> Callable[[], pd.DataFrame]:
    """Return a function that returns the means over seeds of a column, with their spread and n."""
    keys = list(by)

    def numbers() -> pd.DataFrame:
        columns = [name for name in ("study", "network", "dataset", "recipe") if name in rows and name not in keys]
        return summarise(rows, value, [*columns, *keys], spread).assign(band=SPREADS[spread])

    return numbers


def _factor(n: NDArray[np.float64], spread: Spread) -> NDArray[np.float64]:
    """Return half the width of a band, in standard deviations, by the number of seeds."""
    if spread == "sd":
        return np.ones_like(n)
    error: NDArray[np.float64] = 1 / np.sqrt(np.maximum(n, 1))
    t: NDArray[np.float64] = stdtrit(np.maximum(n - 1, 1), 0.975)
    return error if spread == "se" else error * t


def describe(mean: float, low: float, high: float, n: int, spread: Spread, digits: int = 2, unit: str = "") -> str:
    """Return a mean with its spread and n in words, as tooltips and labels show it."""
    text = f"{mean:.{digits}f}"
    if n > 1 and spread == "range":
        text += f", {low:.{digits}f} to {high:.{digits}f}"
    elif n > 1:
        text += f" ± {high - mean:.{digits}f}"
    return f"{text}{unit} (n = {n})"


def described(points: pd.DataFrame, spread: Spread, digits: int = 2, unit: str = "") -> list[str]:
    """Return each row of `summarise` in words."""
    values = points[["mean", "low", "high", "n"]].itertuples(index=False)
    return [describe(mean, low, high, n, spread, digits, unit) for mean, low, high, n in values]


def setting_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """Return learning rate, pruner and sparsity of rows, the first columns of a table."""
    return pd.DataFrame(
        {
            "learning rate": rows["learning_rate"],
            "pruner": rows["pruner"].map(words.pruner),
            "sparsity (%)": rows["sparsity"].map(percent_value),
        }
    )


def mean_columns(rows: pd.DataFrame, title: str, digits: int) -> dict[str, pd.Series]:
    """Return the means of rows of `summarise` and their standard deviations as two columns of a table."""
    return {title: rows["mean"].round(digits), f"{title}{LABEL}±": rows["sd"].round(digits)}


def seeds_column(counts: pd.DataFrame) -> pd.Series:
    """Return the number of seeds in each row of a table, as '3 to 5' where its cells differ; counts: by cell."""
    least, most = counts.min(axis=1).fillna(0).astype(int), counts.max(axis=1).fillna(0).astype(int)
    if (least == most).all():
        return least
    spans = [f"{low} to {high}" for low, high in zip(least, most, strict=True)]
    return least.astype(str).where(least == most, spans)


# The head of a column of a table is what follows this space in its name, or the whole name.
LABEL = "  "
# The numbers of columns that begin so have as many digits as they need.
_FREE = ("learning rate", "sparsity")
_MOST_DIGITS = 4


def head(column: str) -> str:
    """Return the head of a table's column."""
    return column.rpartition(LABEL)[2]


def digits(table: pd.DataFrame) -> dict[str, int | None]:
    """Return the decimals of each column of numbers, the same in each row; None for as many as needed.

    A mean and its deviation, as of `mean_columns`, have the same.
    """
    found = {str(name): _decimals(column) for name, column in table.items() if pd.api.types.is_numeric_dtype(column)}
    for name in table.columns:
        mean, deviation = found.get(str(name)), found.get(f"{name}{LABEL}±")
        if mean is not None and deviation is not None:
            found[str(name)] = found[f"{name}{LABEL}±"] = max(mean, deviation)
    return found


def _decimals(column: pd.Series) -> int | None:
    if str(column.name).startswith(_FREE):
        return None
    values = column.dropna()
    return next((count for count in range(_MOST_DIGITS) if (values.round(count) == values).all()), _MOST_DIGITS)


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose numbers are texts; missing ones are empty."""
    decimals = digits(table)

    def text(value: float, count: int | None) -> str:
        if value != value:
            return ""
        return words.minus(words.number(value) if count is None else f"{value:.{count}f}")

    def texts(name: str, column: pd.Series) -> list[str]:
        if name in decimals:
            return [text(value, decimals[name]) for value in column]
        return [str(value) for value in column.fillna("")]

    return pd.DataFrame({name: texts(str(name), column) for name, column in table.items()}, index=table.index)


# What a tooltip says of a value that an older version did not measure.
NOT_RECORDED = "not recorded"

# Where a network's layers are unknown, a thousand weights per layer are assumed.
UNKNOWN = 5e-4


def departs(dataset: str, network: str, requested: float, measured: float) -> bool:
    """Return whether a measured sparsity differs from the requested one by more than the rounding of weight counts."""
    # A study may name a network or a folder of images that has been removed since.
    if dataset not in DATASETS or network not in NETWORKS:
        return abs(measured - requested) > UNKNOWN
    shape = DATASETS[dataset].shape
    anatomy = known(network, shape.channels, shape.image_size, shape.classes)
    return abs(measured - requested) > (UNKNOWN if anatomy is None else rounding(anatomy.layers, "layer"))


def notes(rows: pd.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], str]:
    """Return a note for each point whose measured sparsity departs, such as 'measured sparsity 35.2 %'.

    rows: `data.queries.points.accuracy` rows. by: the columns that identify a point.
    """
    pruned = rows[(rows["start"] != "dense") & rows["measured_sparsity"].notna()]
    columns = pruned[["dataset", "network", "sparsity", "measured_sparsity"]].itertuples(index=False, name=None)
    far = pruned[pd.Series([departs(*row) for row in columns], index=pruned.index, dtype=bool)]
    return {
        key if isinstance(key, tuple) else (key,): f"measured sparsity {_span(sparsities)}"
        for key, sparsities in far.groupby(list(by))["measured_sparsity"]
    }


def _span(values: pd.Series) -> str:
    least, most = words.percent(float(values.min())), words.percent(float(values.max()))
    return most if least == most else f"{least.removesuffix(' %')} to {most}"
