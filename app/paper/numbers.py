"""The numbers that the paper states, and our own values beside them."""

from collections.abc import Sequence

import pandas as pd

from app import words
from app.charts.ancestors import EXPLAINED
from app.charts.points import NOT_RECORDED, describe, summarise
from engine.claims.intervals import Interval, interval
from engine.paper import figures
from engine.paper.figures import Figure, Panel, Reported
from engine.paper.studies import scaled

CONFIDENCE = 0.95
QUANTITIES = {
    "accuracy": "test accuracy",
    "finetuned_initial": "overlap with initial weights",
    "finetuned_pretrained": "overlap with dense weights",
}
DIFFERENCE = "difference (points), 95 % interval"

ANCESTORS = {
    "finetuned_initial": "with initial weights θ₀ (%)",
    "finetuned_pretrained": "with trained dense weights θ_T (%)",
}
LEVELS = {
    "finetuned_initial": "level of the mask alone, θ₀ (%)",
    "finetuned_pretrained": "level of the mask alone, θ_T (%)",
}


def ours(number: Reported, accuracy: pd.DataFrame, pooled: pd.DataFrame, scale: str, data: str | None) -> Interval:
    """Return the mean of `values` with its 95 % interval."""
    return interval(values(number, accuracy, pooled, scale, data), CONFIDENCE, 0.0)


def values(number: Reported, accuracy: pd.DataFrame, pooled: pd.DataFrame, scale: str, data: str | None) -> list[float]:
    """Return our values of a stated number in percent, one per seed; arguments as in `rows_of`."""
    column, factor = ("test_accuracy", 1.0) if number.quantity == "accuracy" else ("ratio", 100.0)
    rows = rows_of(number, accuracy, pooled, scale, data)
    return [] if rows.empty else [factor * float(value) for value in rows[column].dropna()]


def levels(number: Reported, pooled: pd.DataFrame, scale: str, data: str | None) -> list[float] | None:
    """Return the level of the mask alone for a stated overlap in percent, one value per seed that recorded it.

    Returns None where no run is done.
    """
    rows = rows_of(number, pooled, pooled, scale, data)
    return None if rows.empty else [100 * float(value) for value in rows["level"].dropna()]


def rows_of(
    number: Reported, accuracy: pd.DataFrame, pooled: pd.DataFrame, scale: str, data: str | None
) -> pd.DataFrame:
    """Return the rows of accuracies or overlaps that are ours for a stated number; frames as in `runs.Runs`.

    scale, data: of the runs; a scaled-down run has another dataset and network than the paper's. The paper rounds its
    sparsities, so a row's may differ by half a percentage point.
    """
    our_panel = _ours(number, scale, data)
    frame = accuracy if number.quantity == "accuracy" else pooled
    if frame.empty:
        return frame
    rows = frame[
        (frame["dataset"] == our_panel.dataset)
        & (frame["network"] == our_panel.network)
        & (frame["learning_rate"] == number.learning_rate)
        & (frame["start"] == number.start)
        & ((frame["sparsity"] - number.sparsity).abs() <= 0.005)
    ]
    if number.pruner is not None:
        rows = rows[rows["pruner"] == number.pruner]
    if number.quantity != "accuracy":
        rows = rows[(rows["pair"] == number.quantity) & (rows["p"].round(4) == number.p)]
    return rows


def _ours(number: Reported, scale: str, data: str | None) -> Panel:
    """Return a panel with the network and dataset of our runs for a stated number."""
    paper_panel = Panel(
        label="", quantity="accuracy", dataset=number.dataset, network=number.network,
        learning_rates=(number.learning_rate,), pruners=(), starts=(), sparsities=(), ps=(),
    )  # fmt: skip
    return scaled(paper_panel, scale, data)


def table(
    numbers: Sequence[Reported],
    accuracy: pd.DataFrame,
    pooled: pd.DataFrame,
    scale: str,
    data: str | None,
    comparable: bool,
) -> pd.DataFrame:
    """Return stated numbers beside ours, in words.

    comparable: whether our runs have the paper's data and recipe. Columns: what, network, dataset, learning rate, paper
    (%), our runs (network and dataset, where not comparable), ours (%), difference (points) with the 95 % interval of
    our mean (where comparable), n, and where there are overlaps, the level of the mask alone, ours (%).
    """
    rows: list[dict[str, str]] = []
    has_overlaps = any(number.quantity != "accuracy" for number in numbers)
    for number in numbers:
        mine = ours(number, accuracy, pooled, scale, data)
        our_panel = _ours(number, scale, data)
        rows.append(
            {
                "what": _what(number),
                "network": words.network(number.network),
                "dataset": words.dataset(number.dataset),
                "learning rate": words.number(number.learning_rate),
                "paper (%)": f"{number.value:.2f}",
                **({} if comparable else {"our runs": words.place(our_panel.network, our_panel.dataset)}),
                "ours (%)": "—" if mine.mean is None else f"{mine.mean:.2f}",
                **({DIFFERENCE: _difference(mine, number.value)} if comparable else {}),
                "n": str(mine.n) if mine.n else "",
            }
        )
        if has_overlaps:
            rows[-1]["level of the mask alone, ours (%)"] = (
                "" if number.quantity == "accuracy" else _level(levels(number, pooled, scale, data))
            )
    return pd.DataFrame(rows)


def as_in_paper(
    numbers: Sequence[Reported], accuracy: pd.DataFrame, pooled: pd.DataFrame, scale: str, data: str | None
) -> pd.DataFrame:
    """Return our values in the form of the paper's table: a row per network and dataset of our runs.

    It has a column per ancestor and, where our runs replace others, one with the paper's rows for which they stand.

    A column beside each ancestor has the level of the mask alone, which the paper does not give. numbers: those of the
    table. A cell is an em dash where no run is done.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    replaced: dict[tuple[str, str], list[str]] = {}
    for number in numbers:
        our_panel = _ours(number, scale, data)
        place = words.network(our_panel.network), words.dataset(our_panel.dataset)
        row = rows.setdefault(place, {"network": place[0], "dataset": place[1]})
        row[ANCESTORS[number.quantity]] = _cell(values(number, accuracy, pooled, scale, data))
        row[LEVELS[number.quantity]] = _level(levels(number, pooled, scale, data))
        if (our_panel.network, our_panel.dataset) != (number.network, number.dataset):
            replaced.setdefault(place, []).append(words.place(number.network, number.dataset))
    for place, others in replaced.items():
        rows[place]["stands for"] = words.listing(list(dict.fromkeys(others)))
    return pd.DataFrame(list(rows.values()))


def against_the_mask(figure: Figure, p: float, sparsity: float) -> str:
    """Return sentences on the overlap to which the stated overlaps with trained dense weights must be compared."""
    stated = [number.value for number in figures.reported(figure) if number.quantity == "finetuned_pretrained"]
    alone, chance = words.percent(p / (1 - sparsity)), words.percent(p)
    text = (
        f"{EXPLAINED} At p = {chance} and {words.percent(sparsity)} sparsity, a mask that keeps the largest of "
        f"$\\theta_T$ gives {alone} by itself, where independent weights give {chance}."
    )
    if stated:
        text += f" The paper's {min(stated):.0f} to {max(stated):.0f} % are to be compared with {alone}, not {chance}."
    return text


def _level(levels: list[float] | None) -> str:
    return NOT_RECORDED if levels == [] else _cell(levels or [])


def _cell(values: list[float]) -> str:
    if not values:
        return "—"
    mean = summarise(pd.DataFrame({"all": 0, "value": values}), "value", ["all"], "sd").iloc[0]
    return describe(mean["mean"], mean["low"], mean["high"], int(mean["n"]), "sd")


def _what(number: Reported) -> str:
    quantity = QUANTITIES[number.quantity]
    if number.start == "dense":
        return f"dense {quantity}"
    pruner = words.pruner(number.pruner or "").removesuffix(" magnitude")
    start = f"{words.start(number.start)}, " if number.quantity == "accuracy" else ""
    return f"{quantity}, {start}{pruner} {words.percent(number.sparsity)}"


def _difference(mine: Interval, stated: float) -> str:
    if mine.mean is None:
        return "—"
    text = f"{mine.mean - stated:+.2f}"
    if mine.low is not None and mine.high is not None:
        text += f" ({mine.low - stated:+.2f} to {mine.high - stated:+.2f})"
    return words.minus(text)
