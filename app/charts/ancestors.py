"""Charts and tables of the fine-tuned network's overlap with its dense ancestors, and the level of the mask alone."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from app import words
from app.charts import marks, vega
from app.charts.chart import Chart, Subject
from app.charts.overlap import panel_title
from app.charts.palette import Look, series
from app.charts.picture import Legend
from app.charts.points import (
    NOT_RECORDED,
    Spread,
    at_p,
    band_words,
    described,
    mean_columns,
    seeds_column,
    setting_columns,
    summarise,
)
from app.charts.vega import Spec
from engine.study.results import AGAINST_DENSE

HEIGHT = 260
LEVEL = "level of the mask alone"
# Every page that shows the level explains it so.
EXPLAINED = (
    "Where a mask is made from the trained dense weights, weights in a random order within it already overlap these by "
    "more than p; the level of the mask alone is the mean overlap of such weights."
)

_NAMES = dict(zip(AGAINST_DENSE, ("with initial weights θ₀", "with trained dense weights θ_T"), strict=True))
_SYMBOLS = dict(zip(AGAINST_DENSE, ("θ₀", "θ_T"), strict=True))
_DASH = (2, 2)
# A panel's specification names its two sets of rows so.
_LINES, _LEVELS = "lines", "levels"


def pair_looks() -> dict[str, Look]:
    """Return the look of the overlap with each of the two dense networks, by its pair."""
    return dict(zip(AGAINST_DENSE, series(_NAMES.values()).values(), strict=True))


def level_looks() -> dict[str, Look]:
    """Return the look of the level of the mask alone for each of the two dense networks, by its pair."""
    return {
        pair: Look(f"{LEVEL}, {_SYMBOLS[pair]}", _SYMBOLS[pair], look.colour, "stroke", _DASH)
        for pair, look in pair_looks().items()
    }


def legend(spread: Spread) -> Legend:
    """Return the legend of every panel."""
    return Legend((*pair_looks().values(), *level_looks().values(), marks.CHANCE), band_words(spread))


def at(pooled: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return the rows of pooled overlaps that compare fine-tuned with dense networks, at one p."""
    return at_p(pooled[pooled["pair"].isin(AGAINST_DENSE)], p)


def chart(subject: Subject, pruner: str, rate: float, pooled: pd.DataFrame, p: float, spread: Spread) -> Chart:
    """Return the chart of one panel; pooled, p, spread: as in `draw`."""

    def numbers() -> pd.DataFrame:
        keys, rows = ["pair", "sparsity"], at(pooled, p)
        means = summarise(rows, "ratio", keys, spread).assign(chance=p)
        return with_levels(subject.numbers(means, spread, learning_rate=rate, pruner=pruner, p=p), rows, keys)

    title = panel_title(pruner, rate)
    return Chart(
        name=subject.file_name("ancestors", f"lr{words.number(rate)}", pruner, f"p{p:g}"),
        spec=draw(pooled, p, spread),
        title=f"Overlap of the fine-tuned network with its dense ancestors, {marks.rate_name(rate)}",
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

    pooled: `data.queries.points.pooled_overlaps` rows of one dataset, network, learning rate and pruner. All weights
    are ranked, so only sparsities up to 1 - p have a point. The level of the mask alone is its mean over the seeds for
    which it is recorded.
    """
    rows = at(pooled, p)
    names = {pair: look.name for pair, look in pair_looks().items()}
    level_names = {pair: look.name for pair, look in level_looks().items()}
    lines = _points(rows, "ratio", names, spread)
    levels = _points(rows.dropna(subset=["level"]), "level", level_names, spread)
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


def _panel(sparsities: Sequence[float], p: float, spread: Spread) -> marks.LayeredChart:
    pairs = {look.name: look for look in pair_looks().values()}
    levels = {look.name: look for look in level_looks().values()}
    span = marks.sparsity_span(sparsities)
    x, y = marks.sparsity_axis(sparsities, span, ".1~f"), marks.ratio_axis(f"overlap ratio R_p, p = {p:g}")
    place = alt.Tooltip("removed:Q", title="sparsity (%)", format=".1f")
    overlap, n = marks.mean_tooltip("overlap ratio", spread)
    # The names of overlaps and levels differ, so one scale of colours serves both sets of rows.
    lines = alt.Chart(alt.NamedData(name=_LINES)).encode(x=x, color=marks.colour({**pairs, **levels}))
    mask_alone = alt.Chart(alt.NamedData(name=_LEVELS)).encode(x=x, y=y, color=marks.colour({**pairs, **levels}))
    name, level = alt.Tooltip("name:N", title="fine-tuned network"), alt.Tooltip("level:N", title=LEVEL)
    return alt.layer(
        marks.chance_line(span, [p, p]),
        mask_alone.mark_line(strokeWidth=1.5, strokeDash=list(_DASH)),
        # A single sparsity makes no line, so each point is a short stroke.
        mask_alone.mark_point(shape="stroke", size=200, strokeWidth=2.5, opacity=1).encode(
            tooltip=[alt.Tooltip("name:N", title="level"), place, overlap, n]
        ),
        *marks.mean_lines(lines, y, pairs, [name, place, overlap, level, n], size=marks.point_size(sparsities)),
        height=HEIGHT,
    )


def table(pooled: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return how far the fine-tuned network overlaps its two dense ancestors at one p.

    Columns: learning rate, pruner, sparsity, then for θ₀ and for θ_T mean and standard deviation of the overlap and the
    mean level of the mask alone, which is missing where it is not recorded, then chance and n. All weights are ranked,
    so there are no rows of sparsities above 1 - p.
    """
    rows = at(pooled, p)
    keys = ["learning_rate", "pruner", "sparsity"]
    points = summarise(rows, "ratio", [*keys, "pair"], "sd")
    points["level"] = summarise(rows, "level", [*keys, "pair"], "sd")["mean"]
    places = points[keys].drop_duplicates(ignore_index=True)
    table = setting_columns(places)
    counts = {}
    for pair in AGAINST_DENSE:
        cells = places.merge(points[points["pair"] == pair], on=keys, how="left")
        name = _NAMES[pair].rpartition(" ")[0]
        level = {name.replace("with", "mask alone,"): cells["level"].round(3)}
        table = table.assign(**mean_columns(cells, name, 3), **level)
        counts[pair] = cells["n"]
    return table.assign(chance=p, n=seeds_column(pd.DataFrame(counts)))


def with_levels(points: pd.DataFrame, rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return points with the level of the mask alone: columns level_mean, NaN without a value, and level_n."""
    levels = summarise(rows, "level", keys, "sd")[[*keys, "mean", "n"]]
    return points.merge(levels.rename(columns={"mean": "level_mean", "n": "level_n"}), on=list(keys), how="left")


def missing(pooled: pd.DataFrame) -> str:
    """Return a sentence on the fine-tuned networks whose level is not recorded; empty where there are none."""
    rows = pooled[pooled["pair"].isin(AGAINST_DENSE)]
    unrecorded = rows[rows["level"].isna()]["fingerprint"].nunique()
    networks = words.plural(rows["fingerprint"].nunique(), "fine-tuned network")
    if not unrecorded:
        return ""
    return (
        f"The level of the mask alone is not recorded for {unrecorded} of {networks}, which an older version measured."
    )
