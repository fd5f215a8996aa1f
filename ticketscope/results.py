"""What studies have in common, wherever they are read from: their tables, charts, settings and weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from data.weights.saved import SavedWeights
from engine.study.spec import Study, read_study
from ticketscope.pictures import Pictures, drawn

if TYPE_CHECKING:
    from app.export.charts import Place


class Progress(NamedTuple):
    """How far a study is: its state, and how many of its trainings are done."""

    state: str
    done: int
    trainings: int

    def __str__(self) -> str:
        return f"{self.state}, {self.done:,} of {self.trainings:,} trainings done"


class AnyStudy(ABC):
    """A study with its results so far; every call reads them anew."""

    def accuracy(self) -> pd.DataFrame:
        """Return the table of accuracies: a row per finished training; docs/cli.md describes the columns."""
        return self._table("accuracy")

    def overlap(self) -> pd.DataFrame:
        """Return the table of overlaps: a row per pair of networks, layer and p."""
        return self._table("overlap")

    def epochs(self) -> pd.DataFrame:
        """Return the table of epochs: a row per training and epoch."""
        return self._table("epochs")

    def claims(self) -> pd.DataFrame:
        """Return the verdicts on the paper's claims: a row per claim and scope, with effect, interval and n."""
        return self._table("claims")

    def chart(self, name: str, **choice: Any) -> Pictures:
        """Return the charts of a name, as the study's page draws them at first; a notebook shows them.

        name: a key of `ticketscope.pictures.NAMES`. choice: dataset, network, learning_rate, pruner, or another column
        that the numbers of these charts share; only charts of the chosen values are returned. Raises ChartError for
        another name, and where no chart fits.
        """
        return drawn(self._places, name, choice, self._missing_charts)

    def weights(self, *, which: str = "trained", **choice: Any) -> SavedWeights:
        """Return weights and mask of one training: `state, mask = study.weights(start="rewind", sparsity=0.9, seed=0)`.

        choice: start ("dense" for the network before pruning), sparsity (a fraction), seed, learning_rate, pruner,
        dataset and network, as many as tell the training from the others. which: "trained", "initial" (before the first
        epoch, and before the mask is applied), or of a dense network "rewind". The state is a network's `state_dict`;
        the mask is True where a weight is kept, by layer, and empty for a dense network. Raises ChoiceError, which says
        what is left to choose, and WeightsMissing.
        """
        return self._weights(which, choice)

    @property
    @abstractmethod
    def toml(self) -> str:
        """The study as TOML."""

    @property
    def settings(self) -> Study:
        """The study's settings, from which another study can be made."""
        return read_study(self.toml, recorded=True)

    @property
    def name(self) -> str:
        """The study's name."""
        return self._about()[0]

    @property
    def state(self) -> str:
        """One of queued, running, done, failed and cancelled."""
        return self._about()[1].state

    def progress(self) -> Progress:
        """Return how far the study is."""
        return self._about()[1]

    # Why charts of some names cannot be drawn from here.
    _missing_charts: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def _about(self) -> tuple[str, Progress]:
        """Return the study's name, and how far it is."""

    @abstractmethod
    def _parquet(self, name: str) -> bytes:
        """Return an exported table as Parquet."""

    @abstractmethod
    def _places(self) -> "Sequence[Place]":
        """Return the study's results by dataset and network."""

    @abstractmethod
    def _weights(self, which: str, choice: dict[str, Any]) -> SavedWeights: ...

    def _table(self, name: str) -> pd.DataFrame:
        # All sources take the same way, so that equal tables have equal types.
        return pd.read_parquet(BytesIO(self._parquet(name)))
