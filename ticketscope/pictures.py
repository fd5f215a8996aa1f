"""Charts of studies as a notebook shows them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from app.charts import vega
from app.charts.chart import Chart, csv
from app.charts.picture import VEGA_LITE, png, svg
from app.charts.vega import Spec
from app.export.charts import CHARTS, Place
from engine.errors import UserError

if TYPE_CHECKING:
    import altair as alt

# The names of charts, and what each shows.
NAMES: dict[str, str] = {
    "accuracy": "test accuracy against sparsity, for each learning rate and pruner",
    "sweep": "accuracy, overlap and gap by learning rate",
    "gap": "winning ticket minus random reinit, against the overlap",
    "claims": "the verdicts on the paper's claims, with their intervals",
    "retention": "the overlap R_p of initial and trained weights, against p",
    "time": "the same overlap over training time",
    "starts": "the overlap of each start with the fine-tuned network",
    "ancestors": "the overlap of the fine-tuned network with the dense ones",
    "layers": "the overlap layer by layer",
    "admm": "ADMM's residuals",
}
_SAVED = {
    ".png": lambda chart: png(chart.picture),
    ".svg": lambda chart: svg(chart.picture).encode(),
    ".csv": lambda chart: csv(chart.numbers()),
}


class ChartError(UserError):
    """A chart does not exist, cannot be drawn from here, or cannot be saved as requested."""


@dataclass(frozen=True)
class Picture:
    """One chart, with its title and legend."""

    chart: Chart

    def __repr__(self) -> str:
        return f"<chart {self.title!r}>"

    @property
    def title(self) -> str:
        """The chart's title."""
        return self.chart.title

    @property
    def text(self) -> str:
        """What the chart shows, for readers who cannot see it."""
        return self.chart.alt

    @property
    def spec(self) -> Spec:
        """The chart as Vega-Lite, with its rows."""
        return self.chart.picture

    def numbers(self) -> pd.DataFrame:
        """Return the rows that the chart draws: means with the ends of their bands, and n."""
        return self.chart.numbers()

    def altair(self) -> "alt.VConcatChart":
        """Return the chart as one of Altair's, to be changed."""
        import altair as alt

        return alt.VConcatChart.from_dict(self.spec)

    def save(self, file: str | Path) -> Path:
        """Write the chart to a file whose name ends in .png, .svg or .csv, and return its path."""
        path = Path(file)
        if path.suffix not in _SAVED:
            raise ChartError(f"{path.name!r} has no ending for a chart; allowed: {', '.join(_SAVED)}")
        path.write_bytes(_SAVED[path.suffix](self.chart))
        return path

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the chart for notebooks: live where they draw Vega-Lite, else as a picture."""
        del options
        return {
            f"application/vnd.vegalite.v{VEGA_LITE.partition('.')[0]}+json": self.spec,
            "image/svg+xml": svg(self.spec),
            "text/plain": self.text,
        }


@dataclass(frozen=True)
class Pictures(Sequence[Picture]):
    """The charts of a name, which a notebook shows one below the other; `pictures[0]` is one of them."""

    pictures: tuple[Picture, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.pictures)

    def __getitem__(self, index: Any) -> Any:
        return self.pictures[index]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.pictures))

    def numbers(self) -> pd.DataFrame:
        """Return the rows that all of the charts draw."""
        return pd.concat([picture.numbers() for picture in self.pictures], ignore_index=True)

    def _ipython_display_(self) -> None:
        """Show all charts in the output of a cell."""
        from IPython.display import display

        for picture in self.pictures:
            display(picture)


def drawn(
    read: Callable[[], Sequence[Place]], name: str, choice: Mapping[str, Any], missing: Mapping[str, str]
) -> Pictures:
    """Return the charts of a name; see `ticketscope.results.AnyStudy.chart`.

    read: returns the study's results by dataset and network. missing: why charts of some names cannot be drawn.
    """
    if name not in CHARTS:
        named = "; ".join(f"{key}: {NAMES.get(key, '')}" for key in CHARTS)
        raise ChartError(f"{name!r} is no chart; allowed: {named}")
    if name in missing:
        raise ChartError(f"the chart {name!r} cannot be drawn here: {missing[name]}")
    places = read()
    with vega.enabled():
        charts = [(place, chart) for place in places for chart in CHARTS[name](place)]
    if not charts:
        raise ChartError(f"this study has no chart {name!r} yet: no training that it draws has finished")
    if not choice:
        return Pictures(tuple(Picture(chart) for _, chart in charts))
    values = [_shared(place, chart) for place, chart in charts]
    for key in choice:
        if all(key not in shared for shared in values):
            known = sorted({key for shared in values for key in shared})
            raise ChartError(f"charts {name!r} do not differ by {key!r}; allowed: {', '.join(known)}")
    found = [
        chart
        for (_, chart), shared in zip(charts, values, strict=True)
        if all(shared.get(key) == wanted for key, wanted in choice.items())
    ]
    if not found:
        offered = (f"{key} {', '.join(dict.fromkeys(repr(v[key]) for v in values if key in v))}" for key in choice)
        raise ChartError(f"no chart {name!r} has these values together; there are {'; '.join(offered)}")
    return Pictures(tuple(map(Picture, found)))


def _shared(place: Place, chart: Chart) -> dict[str, Any]:
    """Return the values that all numbers of a chart share, by column, such as its learning rate and pruner."""
    rows = chart.numbers()
    constant = [name for name in rows.columns if len(rows) and rows[name].nunique(dropna=False) == 1]
    shared = {str(name): rows[name].tolist()[0] for name in constant}
    return {**shared, "dataset": place.subject.dataset, "network": place.subject.network}
