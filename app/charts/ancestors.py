"""The fine-tuned network against the dense networks before it: overlap by sparsity, and the level of the mask alone."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from app import words
from app.charts import vega
from app.charts.chart import Chart, Subject
from app.charts.marks import (
    CHANCE,
    Layers,
    chance_line,
    colour,
    mean_lines,
    mean_tooltip,
    rate_name,
    ratio_axis,
    sparsity_axis,
    sparsity_span,
)
from app.charts.overlap import panel_title
from app.charts.palette import Look, series
from app.charts.picture import Legend
from app.charts.points import Spread, band_words, described, summarise
from app.charts.vega import Spec
from engine.study.results import AGAINST_DENSE

HEIGHT = 260
LEVEL = "level of the mask alone"
# Shown wherever the level is drawn or listed.
EXPLAINED = (
    "Where a mask is made from the trained dense weights, weights in a random order within it already overlap these by "
    "more than p; the level of the mask alone is what such weights give on average."
)
NOT_RECORDED = "not recorded"

_NAMES = dict(zip(AGAINST_DENSE, ("with initial weights θ₀", "with trained dense weights θ_T"), strict=True))
_SYMBOLS = dict(zip(AGAINST_DENSE, ("θ₀", "θ_T"), strict=True))
_DASH = (2, 2)
# The names of a panel's sets of rows.
_LINES, _LEVELS = "lines", "levels"


def pair_looks() -> dict[str, Look]:
    """Return how the overlap with each of the two dense networks is named and drawn, by its pair."""
    return dict(zip(AGAINST_DENSE, series(_NAMES.values()).values(), strict=True))


def level_looks() -> dict[str, Look]:
    """Return how the level of the mask alone against each of the two is named and drawn, by the pair."""
    return {
        pair: Look(f"{LEVEL}, {_SYMBOLS[pair]}", _SYMBOLS[pair], look.colour, "stroke", _DASH)
        for pair, look in pair_looks().items()
    }


def legend(spread: Spread) -> Legend:
    """Return the legend of the charts."""
    return Legend((*pair_looks().values(), *level_looks().values(), CHANCE), band_words(spread))


def at(pooled: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return the rows of pooled overlaps that compare fine-tuned with dense networks, at one p."""
    return pooled[pooled["pair"].isin(AGAINST_DENSE) & (pooled["p"].round(4) == round(p, 4))]


def chart(subject: Subject, pruner: str, rate: float, pooled: pd.DataFrame, p: float, spread: Spread) -> Chart:
    """Return the chart of the fine-tuned network's overlap with dense ones; pooled, p: as of `draw`."""

    def numbers() -> pd.DataFrame:
        keys, rows = ["pair", "sparsity"], at(pooled, p)
        means = summarise(rows, "ratio", keys, spread).assign(chance=p)
        return with_levels(subject.numbers(means, spread, learning_rate=rate, pruner=pruner, p=p), rows, keys)

    title = panel_title(pruner, rate)
    return Chart(
        name=subject.file_name("ancestors", f"lr{words.number(rate)}", pruner, f"p{p:g}"),
        spec=draw(pooled, p, spread),
        title=f"Overlap of the fine-tuned network with its dense ancestors, {rate_name(rate)}",
        alt=(
            f"Overlap of the fine-tuned network with its dense ancestors against sparsity, {title}, with the {LEVEL}; "
            "the numbers are in the table below."
        ),
        numbers=numbers,
        caption=(title,),
        about=subject.about(words.pruner(pruner), f"p = {p:g}"),
        legend=legend(spread),
    )


def draw(pooled: pd.DataFrame, p: float, spread: Spread) -> Spec:
    """Return one panel: R_p of the fine-tuned network with θ₀ and with θ_T by sparsity, both levels, and chance p.

    pooled: rows of one dataset, network, learning rate and pruner. All weights are ranked, so that only sparsities up
    to 1 - p have a point. The level of the mask alone is its mean over the seeds of which it is recorded.
    """
    rows = at(pooled, p)
    names = {pair: look.name for pair, look in pair_looks().items()}
    of_levels = {pair: look.name for pair, look in level_looks().items()}
    lines = _points(rows, "ratio", names, spread)
    levels = _points(rows.dropna(subset=["level"]), "level", of_levels, spread)
    texts = levels.set_index(["pair", "removed"])["described"]
    lines["level"] = [texts.get(key, NOT_RECORDED) for key in zip(lines["pair"], lines["removed"], strict=True)]
    sparsities = tuple(sorted(lines["removed"].unique()))
    return vega.filled(
        _panel,
        (sparsities, p, spread),
        {
            _LINES: lines[["name", "removed", "mean", "low", "high", "n", "described", "level"]],
            _LEVELS: levels[["name", "removed", "mean", "n", "described"]],
        },
    )


def _points(rows: pd.DataFrame, value: str, names: dict[str, str], spread: Spread) -> pd.DataFrame:
    frame = summarise(rows, value, ["pair", "sparsity"], spread)
    frame["name"] = frame["pair"].map(names)
    frame["removed"] = (100 * frame["sparsity"]).round(4)
    frame["described"] = described(frame, spread)
    return frame


def _panel(sparsities: Sequence[float], p: float, spread: Spread) -> Layers:
    pairs = {look.name: look for look in pair_looks().values()}
    levels = {look.name: look for look in level_looks().values()}
    span = sparsity_span(sparsities)
    x, y = sparsity_axis(sparsities, span, ".1~f"), ratio_axis(f"overlap ratio R_p, p = {p:g}")
    place = alt.Tooltip("removed:Q", title="sparsity (%)", format=".1f")
    overlap, n = mean_tooltip("overlap ratio", spread)
    # Each set of rows has names of its own, so that one scale of colours serves both.
    lines = alt.Chart(alt.NamedData(name=_LINES)).encode(x=x, color=colour({**pairs, **levels}))
    alone = alt.Chart(alt.NamedData(name=_LEVELS)).encode(x=x, y=y, color=colour({**pairs, **levels}))
    name, level = alt.Tooltip("name:N", title="fine-tuned network"), alt.Tooltip("level:N", title=LEVEL)
    return alt.layer(
        chance_line(span, [p, p]),
        alone.mark_line(strokeWidth=1.5, strokeDash=list(_DASH)),
        # A single sparsity has no line, but a stroke.
        alone.mark_point(shape="stroke", size=200, strokeWidth=2.5, opacity=1).encode(
            tooltip=[alt.Tooltip("name:N", title="level"), place, overlap, n]
        ),
        *mean_lines(lines, y, pairs, [name, place, overlap, level, n]),
        height=HEIGHT,
    )


def table(pooled: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return how far the fine-tuned network overlaps its two dense ancestors at one p, as people read it.

    Columns: learning rate, pruner, sparsity, then for θ₀ and for θ_T the overlap and the level of the mask alone, and
    chance; cells are mean ± standard deviation with n. All weights are ranked, so p is at most 1 - sparsity: rows of
    higher sparsities are left out.
    """
    rows = at(pooled, p)
    keys = ["learning_rate", "pruner", "sparsity"]
    ratios, levels = (_wide(rows, value, keys) for value in ("ratio", "level"))
    shown = pd.DataFrame(
        {
            "learning rate": ratios["learning_rate"].map(words.number),
            "pruner": ratios["pruner"].map(words.pruner),
            "sparsity": ratios["sparsity"].map(words.percent),
        }
    )
    for pair in AGAINST_DENSE:
        shown[_NAMES[pair]] = ratios[pair]
        shown[f"mask alone, {_SYMBOLS[pair]}"] = levels[pair].where(levels[pair] != "", NOT_RECORDED)
    shown["chance"] = f"{p:.2f}"
    return shown


def _wide(rows: pd.DataFrame, value: str, keys: list[str]) -> pd.DataFrame:
    points = summarise(rows, value, [*keys, "pair"], "sd")
    points["described"] = [text if n else "" for text, n in zip(described(points, "sd"), points["n"], strict=True)]
    wide = points.pivot(index=keys, columns="pair", values="described").reindex(columns=list(AGAINST_DENSE))
    return wide.fillna("").reset_index()


def with_levels(points: pd.DataFrame, rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return means over seeds with those of the level of the mask alone: level_mean and level_n, NaN and 0 for none."""
    levels = summarise(rows, "level", keys, "sd")[[*keys, "mean", "n"]]
    return points.merge(levels.rename(columns={"mean": "level_mean", "n": "level_n"}), on=list(keys), how="left")


def missing(pooled: pd.DataFrame) -> str:
    """Return in a sentence for how many fine-tuned networks the level is not recorded; empty where it is for all."""
    rows = pooled[pooled["pair"].isin(AGAINST_DENSE)]
    lacking = rows[rows["level"].isna()]["fingerprint"].nunique()
    networks = words.plural(rows["fingerprint"].nunique(), "fine-tuned network")
    if not lacking:
        return ""
    return f"The level of the mask alone is not recorded for {lacking} of {networks}, which an older version measured."
