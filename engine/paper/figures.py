"""The paper's figures, read from `figures.toml`: what each trains, its layout, and the numbers that the text states."""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from engine.study.recipe import Frozen

Quantity = Literal["accuracy", "retention", "start_overlap", "ancestor_overlap"]

# A quantity that is not listed needs its drawn starts trained. Overlaps are measured on the fine-tuned network, against
# weights that need no training of their own.
_TRAINED: dict[Quantity, tuple[str, ...]] = {
    "retention": (),
    "start_overlap": ("finetune",),
    "ancestor_overlap": ("finetune",),
}

# As the name of the data, this means the datasets that the paper names.
OWN = "paper"
ALL = "all"


class Reported(Frozen):
    """A number that the paper's text states, in percent.

    section: a letter of the appendix, or main. quantity: test accuracy, or a pair of engine.study.results.PAIRS.
    """

    section: str
    quantity: Literal["accuracy", "finetuned_initial", "finetuned_pretrained"]
    dataset: str
    network: str
    learning_rate: float
    start: str
    sparsity: float
    value: float
    pruner: str | None = None
    p: float | None = None


class Panel(Frozen):
    """One panel of a figure, or one row of the table.

    label: its letter, empty if the figure is a single panel. starts: the series that it draws.
    """

    label: str
    quantity: Quantity
    dataset: str
    network: str
    learning_rates: tuple[float, ...]
    pruners: tuple[str, ...]
    starts: tuple[str, ...]
    sparsities: tuple[float, ...]
    ps: tuple[float, ...]

    @property
    def dense(self) -> bool:
        """Whether the dense baseline is drawn."""
        return self.quantity == "accuracy"

    @property
    def trained(self) -> tuple[str, ...]:
        """The starts that must be trained to draw it."""
        return _TRAINED.get(self.quantity, self.starts)


class _PanelRow(Frozen):
    panels: tuple[str, ...] = ("",)
    quantity: Quantity
    by: Literal["learning_rate", "pruner"] | None = None
    dataset: str
    network: str
    learning_rates: tuple[float, ...]
    pruners: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    sparsities: tuple[float, ...] = ()
    ps: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)

    def expanded(self, sparsities: tuple[float, ...]) -> list[Panel]:
        fields = self.model_dump(exclude={"panels", "by"})
        if self.pruners and not self.sparsities:
            fields["sparsities"] = sparsities
        if self.by is None:
            return [Panel(label=self.panels[0], **fields)]
        many = f"{self.by}s"
        pairs = zip(self.panels, getattr(self, many), strict=True)
        return [Panel(label=label, **{**fields, many: (value,)}) for label, value in pairs]


class Figure(Frozen):
    """A figure or table: what it shows, the claims that it supports (ids of engine.claims), and its rows of panels."""

    id: str
    title: str
    section: str
    about: str
    claims: tuple[str, ...]
    rows: tuple[_PanelRow, ...]
    sparsities: tuple[float, ...]

    @cached_property
    def panels(self) -> tuple[Panel, ...]:
        """The panels in the paper's order."""
        return tuple(panel for row in self.rows for panel in row.expanded(self.sparsities))


class Setting(Frozen):
    """The settings in which a scale departs from the paper; seeds is their number."""

    seeds: int | None = None
    sparsities: tuple[float, ...] | None = None
    train_images: int | None = None
    test_images: int | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    admm: dict[str, Any] = Field(default_factory=dict)


class Scale(Frozen):
    """A size at which the figures can be trained; data: the dataset that is used unless another is chosen."""

    title: str
    data: str = OWN
    digits: Setting = Setting()
    photographs: Setting = Setting()

    def setting(self, data: str) -> Setting:
        """Return the changed settings for a dataset."""
        return self.digits if data == "digits" else self.photographs


class _Catalogue(Frozen):
    seeds: tuple[int, ...]
    sparsities: tuple[float, ...]
    round_rate: float
    reported: tuple[Reported, ...]
    substitutes: dict[str, str]
    scales: dict[str, Scale]
    figures: dict[str, Figure]


def _read(path: Path) -> _Catalogue:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, figure in values["figures"].items():
        figure |= {"id": name, "sparsities": values["sparsities"]}
    return _Catalogue.model_validate(values)


CATALOGUE = _read(Path(__file__).with_suffix(".toml"))

FIGURES = CATALOGUE.figures
REPORTED = CATALOGUE.reported
SCALES = CATALOGUE.scales


def reported(figure: Figure) -> tuple[Reported, ...]:
    """Return the numbers stated in the text that a figure shows."""
    return tuple(number for number in REPORTED if any(shows(panel, number) for panel in figure.panels))


def shows(panel: Panel, number: Reported) -> bool:
    """Return whether a panel at the paper's scale shows a number stated in the text."""
    same = (panel.dataset, panel.network) == (number.dataset, number.network)
    if not same or number.learning_rate not in panel.learning_rates:
        return False
    if number.quantity != "accuracy":
        return panel.quantity == "ancestor_overlap"
    if panel.quantity != "accuracy":
        return False
    return number.start == "dense" or (number.start in panel.starts and number.pruner in panel.pruners)
