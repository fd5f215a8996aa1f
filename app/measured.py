"""Results whose measured sparsity is not the one that was asked for, by more than whole weights explain."""

from collections.abc import Sequence

import pandas as pd

from app import words
from data.datasets.registry import DATASETS
from engine.registry import NETWORKS
from engine.study.layers import known
from engine.study.mask_sizes import rounding

# Where the sizes of a network's layers are not known: as much as a network of a thousand weights a layer may round.
UNKNOWN = 5e-4


def departs(dataset: str, network: str, asked: float, measured: float) -> bool:
    """Return whether a measured sparsity differs from the one asked for by more than rounding each layer's weights."""
    # A study may name a network that has gone since, or be that of a folder, whose images may have gone.
    if dataset not in DATASETS or network not in NETWORKS:
        return abs(measured - asked) > UNKNOWN
    shape = DATASETS[dataset].shape
    anatomy = known(network, shape.channels, shape.image_size, shape.classes)
    return abs(measured - asked) > (UNKNOWN if anatomy is None else rounding(anatomy.layers, "layer"))


def notes(rows: pd.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], str]:
    """Return by point what to say of those where a measured sparsity departs, such as 'measured sparsity 35.2 %'.

    rows: of `data.queries.studies.accuracy`. by: the columns that tell points apart.
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
