"""The names of stages, each in one line."""

from typing import Any

import pandas as pd

from app import words


def stage_names(rows: pd.DataFrame, with_network: bool | None = None) -> dict[str, str]:
    """Return the name of each stage by its fingerprint: 'fine-tune · iterative 90 % · learning rate 0.1 · seed 0'.

    with_network: whether to name network and dataset; None names them where the stages differ in them.
    """
    kinds = kind_names(rows, several(rows) if with_network is None else with_network)
    return {
        fingerprint: f"{kind} · learning rate {words.number(rate)} · seed {seed}"
        for fingerprint, kind, rate, seed in zip(
            column(rows, "fingerprint"), kinds, column(rows, "learning_rate"), column(rows, "seed"), strict=True
        )
    }


def several(rows: pd.DataFrame) -> bool:
    """Return whether stages differ in their network or dataset."""
    return bool(rows["network"].nunique() > 1 or rows["dataset"].nunique() > 1)


def column(rows: pd.DataFrame, name: str) -> list[Any]:
    """Return the values of a column."""
    # Iterating over a pandas column of texts takes ten times as long, which is slow for thousands of stages.
    return list(rows[name].to_numpy(dtype=object))


def kind_names(rows: pd.DataFrame, with_network: bool) -> list[str]:
    """Return the names of stages without learning rate and seed, in the order of the rows."""
    columns = ["kind", "start", "pruners", "sparsity", "network", "dataset"]
    keys = list(zip(*(column(rows, name) for name in columns), strict=True))
    names = {key: _kind_name(key, with_network) for key in set(keys)}
    return [names[key] for key in keys]


def _kind_name(key: tuple[Any, ...], with_network: bool) -> str:
    kind, start, pruners, sparsity, network, dataset = key
    where = f" · {words.place(network, dataset)}" if with_network else ""
    if kind == "pretrain":
        return f"{start}{where}"
    if kind == "admm":
        title = words.pruner(pruners)
        return f"{title}{',' * (',' in title)} pruning to {words.percent(sparsity)}{where}"
    names = [words.pruner(name).removesuffix(" magnitude") for name in pruners.split(", ") if name]
    # A stage without a point in charts only makes the mask of the next round.
    purpose = words.listing(names) or "mask for the next round,"
    return f"{words.start(start)} · {purpose} {words.percent(sparsity)}{where}"
