"""What stages are called: each in one line."""

from typing import Any

import pandas as pd

from app import words


def stage_names(rows: pd.DataFrame, tell_network: bool | None = None) -> dict[str, str]:
    """Return by fingerprint what each stage is, in one line.

    For example: 'fine-tune · iterative 90 % · learning rate 0.1 · seed 0'. tell_network: whether to name network and
    dataset; left out, only where the stages differ in them.
    """
    whats = _whats(rows, several(rows) if tell_network is None else tell_network)
    return {
        fingerprint: f"{what} · learning rate {words.number(rate)} · seed {seed}"
        for fingerprint, what, rate, seed in zip(
            _listed(rows, "fingerprint"), whats, _listed(rows, "learning_rate"), _listed(rows, "seed"), strict=True
        )
    }


def several(rows: pd.DataFrame) -> bool:
    """Return whether stages differ in their network or dataset, which their names then tell."""
    return bool(rows["network"].nunique() > 1 or rows["dataset"].nunique() > 1)


def _listed(rows: pd.DataFrame, name: str) -> list[Any]:
    # Walking over a column of texts itself takes some ten times as long, which thousands of stages make felt.
    return list(rows[name].to_numpy(dtype=object))


def _whats(rows: pd.DataFrame, tell_network: bool) -> list[str]:
    columns = ["kind", "start", "pruners", "sparsity", "network", "dataset"]
    keys = list(zip(*(_listed(rows, name) for name in columns), strict=True))
    told = {key: _what(key, tell_network) for key in set(keys)}
    return [told[key] for key in keys]


def _what(key: tuple[Any, ...], tell_network: bool) -> str:
    kind, start, pruners, sparsity, network, dataset = key
    where = f" · {words.place(network, dataset)}" if tell_network else ""
    if kind == "pretrain":
        return f"dense{where}"
    if kind == "admm":
        title = words.pruner(pruners)
        return f"{title}{',' * (',' in title)} pruning to {words.percent(sparsity)}{where}"
    names = [words.pruner(name).removesuffix(" magnitude") for name in pruners.split(", ") if name]
    # A stage that is no point of a chart only makes the next round's mask.
    means = words.listing(names) or "mask for the next round,"
    return f"{words.start(start)} · {means} {words.percent(sparsity)}{where}"
