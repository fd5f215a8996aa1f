"""Points of a chart: means over seeds with their spread, and what to note where a sparsity is not the one requested."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from app import words
from data.datasets.registry import DATASETS
from engine.registry import NETWORKS
from engine.study.layers import known
from engine.study.mask_sizes import rounding

Spread = Literal["sd", "se", "ci", "range"]

Counts = NDArray[np.float64]

SPREADS: dict[Spread, str] = {
    "sd": "standard deviation",
    "se": "standard error",
    "ci": "95 % interval",
    "range": "min to max",
}


def band_words(spread: Spread) -> str:
    """Return what a shaded band shows, in words."""
    return "± " * (spread != "range") + f"{SPREADS[spread]} over seeds"


def summarise(frame: pd.DataFrame, value: str, by: Sequence[str], spread: Spread) -> pd.DataFrame:
    """Return one row per group with the mean of a column over seeds and its spread.

    Columns: by, then mean, sd, low, high, n. sd is the sample standard deviation (n - 1); the 95 % interval is the
    mean's, by Student's t. With one seed sd, low and high are missing, for one value has no spread.
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


def _factor(n: Counts, spread: Spread) -> Counts:
    if spread == "sd":
        return np.ones_like(n)
    error: Counts = 1 / np.sqrt(np.maximum(n, 1))
    t: Counts = stdtrit(np.maximum(n - 1, 1), 0.975)
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


# The rounding of a network with a thousand weights a layer, for networks whose layers are unknown.
UNKNOWN = 5e-4


def departs(dataset: str, network: str, requested: float, measured: float) -> bool:
    """Return whether a measured sparsity differs from the requested one by more than rounding each layer's weights."""
    # A study may name a network or a folder of images that has been removed since.
    if dataset not in DATASETS or network not in NETWORKS:
        return abs(measured - requested) > UNKNOWN
    shape = DATASETS[dataset].shape
    anatomy = known(network, shape.channels, shape.image_size, shape.classes)
    return abs(measured - requested) > (UNKNOWN if anatomy is None else rounding(anatomy.layers, "layer"))


def notes(rows: pd.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], str]:
    """Return a note for each point whose measured sparsity departs, such as 'measured sparsity 35.2 %'.

    rows: of `data.queries.points.accuracy`. by: the columns that identify a point.
    """
    pruned = rows[(rows["start"] != "dense") & rows["measured_sparsity"].notna()]
    columns = pruned[["dataset", "network", "sparsity", "measured_sparsity"]].itertuples(index=False, name=None)
    far = pruned[pd.Series([departs(*row) for row in columns], index=pruned.index, dtype=bool)]
    return {
        key if isinstance(key, tuple) else (key,): f"measured sparsity {_span(found)}"
        for key, found in far.groupby(list(by))["measured_sparsity"]
    }


def _span(values: pd.Series) -> str:
    least, most = words.percent(float(values.min())), words.percent(float(values.max()))
    return most if least == most else f"{least.removesuffix(' %')} to {most}"
