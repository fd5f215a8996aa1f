"""The paper's figures as studies: what each trains, how it is laid out, and the numbers that the text states.

The catalogue itself is `paper.toml`; nothing here knows a single figure.
"""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from engine.parts import merged, union
from engine.recipe import Frozen
from engine.registry import network_title
from engine.spec import Study, StudyError, parse_study

Quantity = Literal["accuracy", "retention", "start_overlap", "ancestor_overlap"]

# What has to be trained to draw a quantity, where it is not the series drawn: both overlaps are measured on the
# fine-tuned network, against weights that need no training of their own.
_TRAINED: dict[Quantity, tuple[str, ...]] = {
    "retention": (),
    "start_overlap": ("finetune",),
    "ancestor_overlap": ("finetune",),
}

# Data by this name: the datasets that the paper names.
OWN = "paper"
ALL = "all"


class Reported(Frozen):
    """A number that the paper's text states, in percent.

    section: a letter of the appendix, or main. quantity: test accuracy, or a pair of engine.results.PAIRS.
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

    label: its letter, empty where the figure is one panel. starts: the series that it draws. dense: whether the dense
    baseline is drawn too.
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
        """The starts to train for it."""
        return _TRAINED.get(self.quantity, self.starts)


class _Row(Frozen):
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
    """A figure or table: what it shows, the claims that it bears on (ids of engine.claims), and its rows."""

    id: str
    title: str
    section: str
    about: str
    claims: tuple[str, ...]
    rows: tuple[_Row, ...]
    sparsities: tuple[float, ...]

    @cached_property
    def panels(self) -> tuple[Panel, ...]:
        """The panels in the paper's order."""
        return tuple(panel for row in self.rows for panel in row.expanded(self.sparsities))

    def study(self, scale: str = "paper", data: str | None = None) -> Study:
        """Return the study that trains the figure; see `study`."""
        return study(self.id, scale, data)


class Setting(Frozen):
    """What a scale changes of the paper's settings: seeds counts them, limits are numbers of images."""

    seeds: int | None = None
    sparsities: tuple[float, ...] | None = None
    train_images: int | None = None
    test_images: int | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    admm: dict[str, Any] = Field(default_factory=dict)


class Scale(Frozen):
    """A size in which the catalogue can be trained; data: what it trains on unless told otherwise."""

    title: str
    data: str = OWN
    digits: Setting = Setting()
    photographs: Setting = Setting()

    def setting(self, data: str) -> Setting:
        """Return what changes on some data."""
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


_CATALOGUE = _read(Path(__file__).with_suffix(".toml"))

FIGURES = _CATALOGUE.figures
REPORTED = _CATALOGUE.reported
SCALES = _CATALOGUE.scales


def study(name: str, scale: str = "paper", data: str | None = None) -> Study:
    """Return a part of the paper as a study.

    name: a figure's id, one with letters of panels such as fig7:a or fig5:cd, or all. scale: a key of SCALES. data: a
    dataset that stands for all of the paper's, "paper" for the paper's own, None for those of the scale.
    StudyError for a name or a scale that is not known.
    """
    _check_scale(scale)
    panels = _named(name)
    data = data or SCALES[scale].data
    setting = SCALES[scale].setting(data)
    parts = merged(scaled(panel, scale, data) for panel in panels)
    lists = {field: union(field, parts) for field in parts[0]}
    return parse_study(
        {
            "name": _title(name, scale, data),
            "note": " ".join([*_about(name), *scaling(scale, data)]),
            **lists,
            # A scale with fewer sparsities is there to train less.
            "round_rate": None if setting.sparsities else _CATALOGUE.round_rate,
            "seeds": _CATALOGUE.seeds[: setting.seeds],
            "overlap_p": sorted({p for panel in panels for p in panel.ps}),
            "train_images": setting.train_images,
            "test_images": setting.test_images,
            "recipe": setting.recipe,
            "admm": setting.admm,
            # A part names only what it does not share with all others.
            "parts": [{field: part[field] for field in part if part[field] != lists[field]} for part in parts]
            if len(parts) > 1
            else (),
        }
    )


def scaled(panel: Panel, scale: str = "paper", data: str | None = None) -> Panel:
    """Return a panel with dataset, network and sparsities as a scale trains them on some data; see `study`."""
    _check_scale(scale)
    data = data or SCALES[scale].data
    sparsities = SCALES[scale].setting(data).sparsities
    whole = panel.sparsities == _CATALOGUE.sparsities
    return panel.model_copy(
        update={
            "dataset": panel.dataset if data == OWN else data,
            "network": _CATALOGUE.substitutes.get(data, panel.network),
            "sparsities": sparsities if sparsities and whole else panel.sparsities,
        }
    )


def scaling(scale: str = "paper", data: str | None = None) -> tuple[str, ...]:
    """Return in sentences how a scale on some data departs from the paper; none where it does not."""
    _check_scale(scale)
    data = data or SCALES[scale].data
    setting = SCALES[scale].setting(data)
    told = []
    if data != OWN:
        told.append(f"Trained on {data} in place of the paper's datasets.")
    if data in _CATALOGUE.substitutes:
        network = _CATALOGUE.substitutes[data]
        told.append(f"Network {network_title(network)} in place of the paper's three.")
    changes = [
        f"{setting.train_images:,} training images" if setting.train_images else "",
        f"{setting.test_images:,} test images" if setting.test_images else "",
        f"{setting.seeds} seeds instead of {len(_CATALOGUE.seeds)}" if setting.seeds else "",
        f"accuracy at {len(setting.sparsities)} sparsities instead of {len(_CATALOGUE.sparsities)}, and one round of "
        "iterative pruning for each sparsity"
        if setting.sparsities
        else "",
        *(f"{name.replace('_', ' ')} {value}" for name, value in setting.recipe.items()),
        *(f"ADMM {name} {value}" for name, value in setting.admm.items()),
    ]
    if any(changes):
        told.append(f"Scaled down: {', '.join(change for change in changes if change)}.")
    return tuple(told)


def reported(figure: Figure) -> tuple[Reported, ...]:
    """Return the numbers of the text that a figure shows."""
    return tuple(number for number in REPORTED if any(shows(panel, number) for panel in figure.panels))


def shows(panel: Panel, number: Reported) -> bool:
    """Return whether a panel, as the paper has it, shows a number of the text."""
    same = (panel.dataset, panel.network) == (number.dataset, number.network)
    if not same or number.learning_rate not in panel.learning_rates:
        return False
    if number.quantity != "accuracy":
        return panel.quantity == "ancestor_overlap"
    if panel.quantity != "accuracy":
        return False
    return number.start == "dense" or (number.start in panel.starts and number.pruner in panel.pruners)


def _check_scale(scale: str) -> None:
    if scale not in SCALES:
        raise StudyError({"": f"{scale!r} is not a known scale; allowed: {', '.join(SCALES)}"})


def _named(name: str) -> tuple[Panel, ...]:
    if name == ALL:
        return tuple(panel for figure in FIGURES.values() for panel in figure.panels)
    figure, _, letters = name.partition(":")
    if figure not in FIGURES:
        raise StudyError({"": f"{name!r} is no figure of the paper; allowed: {', '.join(FIGURES)}, {ALL}"})
    panels = FIGURES[figure].panels
    if not letters:
        return panels
    labels = [panel.label for panel in panels if panel.label]
    if not set(letters) <= set(labels):
        panels_there = f"allowed: {', '.join(labels)}" if labels else f"leave it out, as in {figure}"
        raise StudyError({"": f"{figure} has no panel {letters!r}; {panels_there}"})
    return tuple(panel for panel in panels if panel.label in letters)


def _title(name: str, scale: str, data: str) -> str:
    figure, _, letters = name.partition(":")
    what = "all figures" if name == ALL else FIGURES[figure].title.lower() + (f", panel {letters}" if letters else "")
    changed = [SCALES[scale].title.lower()] * (scale != "paper") + [data] * (data != OWN)
    # A folder's path may be longer than a name.
    return (f"Paper, {what}" + (f" ({', '.join(changed)})" if changed else ""))[:100]


def _about(name: str) -> list[str]:
    return [] if name == ALL else [FIGURES[name.partition(":")[0]].about]
