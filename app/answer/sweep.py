"""The learning rate sweep: accuracy, overlap and gap by learning rate, and gap against overlap."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import pandas as pd

from app import words
from app.answer import sweep_chart
from app.answer.answers import at_words
from app.charts.accuracy import Measure
from app.charts.chart import Chart, Numbers, Subject
from app.charts.marks import rate_looks, rate_name
from app.charts.palette import STARTS, Look, present, series
from app.charts.picture import Legend
from app.charts.points import Spread, at_p, band_words, means
from app.charts.vega import Spec

# The quantities of the panels by their keys, in their order on the page.
PANELS = {
    "sweep-accuracy": "Test accuracy",
    "sweep-overlap": "Overlap of initial and trained weights",
    "sweep-gap": "Winning ticket minus random reinit",
}
# What a caption says of the panels.
EXPLAINED = (
    r"From above: accuracy of each start ({at}) and of the dense network; overlap ratio $R_p(\theta_0, \theta_T)$; "
    "winning ticket minus random reinit of the same seed and mask."
)
EXPLAINED_GAP = (
    "One point for each network, dataset, learning rate and seed: winning ticket minus random reinit against how "
    "far the dense network's weights still overlap the initial ones. n = {pairs}. Solid rule: no gap; dashed rule: "
    "independent weights."
)


@dataclass(frozen=True)
class Runs:
    """The runs of a sweep, all under one pruner at one sparsity, each with the text `rest` that tells lines apart.

    accuracies: rows of the drawn starts and of dense networks. paired: rows of winning tickets and random reinits,
    drawn or not. ratios: overlaps of the pair initial_pretrained. All have the columns of `data.queries.points`, and
    `base`, which a pair and its dense network share.
    """

    accuracies: pd.DataFrame
    paired: pd.DataFrame
    ratios: pd.DataFrame


@dataclass(frozen=True)
class Colours:
    """All learning rates and networks that the sweep's page may draw, so that colours stay when some are hidden."""

    rates: Collection[float]
    networks: Collection[str]


@dataclass(frozen=True)
class Sweep:
    """The charts of a learning rate sweep and the looks of their legends.

    panels: the charts by their keys in PANELS; a panel without rows is absent. starts, rests: the looks of the panels.
    pairs: the number of points of the gap against overlap; rates, networks: the looks of their colours and shapes.
    """

    panels: dict[str, Chart]
    gap_against_overlap: Chart | None
    starts: list[Look]
    rests: list[Look]
    pairs: int
    rates: list[Look]
    networks: list[Look]


def sweep(
    runs: Runs,
    rests: dict[str, Look],
    colours: Colours,
    measure: Measure,
    spread: Spread,
    p: float,
    file: Callable[[str], str],
    about: str = "",
) -> Sweep:
    """Return the sweep of some runs; rests: the look of each text `rest`; file: returns a chart's name from its key."""
    accuracies, ratios = runs.accuracies, at_p(runs.ratios, p).dropna(subset=["ratio"])
    gaps = sweep_chart.gaps(runs.paired.assign(accuracy=runs.paired[measure]))
    rates = sorted(float(rate) for rate in accuracies["learning_rate"].unique())
    starts = list(present(accuracies["start"]).values())
    legend = Legend((*starts, *rests.values()), band_words(spread))

    def panel(key: str, spec: Spec, numbers: Numbers) -> Chart:
        title = f"{PANELS[key]} by learning rate"
        return Chart(file(key), spec, title, f"{title}.", numbers, about=about, legend=legend)

    panels = {}
    if len(accuracies):
        spec = sweep_chart.accuracy(accuracies, rests, rates, measure, spread)
        by = ["start", "learning_rate", "pruner", "sparsity"]
        panels["sweep-accuracy"] = panel("sweep-accuracy", spec, means(accuracies, measure, by, spread))
    if len(ratios):
        spec = sweep_chart.overlap(ratios, rests, rates, p, spread)
        panels["sweep-overlap"] = panel("sweep-overlap", spec, means(ratios, "ratio", ["learning_rate", "p"], spread))
    if len(gaps):
        spec = sweep_chart.gap(gaps, rests, rates)
        panels["sweep-gap"] = panel("sweep-gap", spec, means(gaps, "gap", ["rest", "learning_rate"], "ci"))
    points = _points(gaps, ratios)
    shown = set(points["network"])
    all_rates, all_networks = rate_looks(sorted(colours.rates)), series(map(words.network, colours.networks))
    networks = [
        replace(look, dash=(), colour=STARTS["dense"].colour) for name, look in all_networks.items() if name in shown
    ]
    coloured = [
        replace(look, dash=(), shape="stroke" if len(networks) > 1 else look.shape)
        for name, look in all_rates.items()
        if name in set(points["name"])
    ]
    gap_against_overlap = None
    if len(points):
        title = "Winning ticket minus random reinit against overlap, one point a seed"
        numbers = points.drop(columns=["name", "rest"]).rename(columns={"ratio": f"overlap_p_{p:g}"})
        gap_against_overlap = Chart(
            name=file("gap-against-overlap"),
            spec=sweep_chart.gap_against_overlap(points, all_rates, all_networks, p),
            title=title,
            alt=f"{title}.",
            numbers=lambda: numbers,
            about=" · ".join(filter(None, (about, f"p = {p:g}"))),
            legend=Legend((*coloured, *(networks if len(networks) > 1 else []))),
        )
    return Sweep(panels, gap_against_overlap, starts, list(rests.values()), len(points), coloured, networks)


def _points(gaps: pd.DataFrame, ratios: pd.DataFrame) -> pd.DataFrame:
    """Return each gap with the overlap of its dense network."""
    # `base`, the recipe without pruning rounds, is the same for a pair and its dense network.
    keys = ["base", "dataset", "network", "learning_rate", "seed"]
    points = gaps.merge(ratios[[*keys, "ratio"]].drop_duplicates(keys), on=keys)
    points["name"] = points["learning_rate"].map(rate_name)
    points["network"] = points["network"].map(words.network)
    # Studies that share a pair of trainings count it once.
    return points.drop_duplicates([*keys[1:], "gap", "ratio"], ignore_index=True)


def of_study(
    subject: Subject,
    accuracy: pd.DataFrame,
    pooled: pd.DataFrame,
    pruner: str,
    sparsity: float,
    p: float,
    spread: Spread,
) -> Sweep:
    """Return the sweep of one study; accuracy, pooled: rows of `data.queries.points` of its dataset and network."""
    accuracy, pooled = (frame.assign(rest="", base="", recipe="") for frame in (accuracy, pooled))
    paired = accuracy[(accuracy["pruner"] == pruner) & (accuracy["sparsity"].round(6) == round(sparsity, 6))]
    drawn = pd.concat([accuracy[accuracy["start"] == "dense"], paired])
    runs = Runs(drawn, paired, pooled[pooled["pair"] == "initial_pretrained"])
    colours = Colours(accuracy["learning_rate"].unique(), [subject.network])
    about = subject.about(at_words(pruner, sparsity))
    return sweep(runs, {}, colours, "test_accuracy", spread, p, subject.file_name, about)
