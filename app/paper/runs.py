"""The finished runs of a figure of the paper under some settings, and the verdicts on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import streamlit as st

from app import words
from app.paper import thumbnail
from app.paper.thumbnail import Means
from app.state import queries
from app.state.cache import Marker, cached
from data.datasets.registry import identity
from data.queries import points
from data.queries.evidence import from_frames
from data.queries.incomplete import completed
from data.queries.launches import tomls
from data.queries.results import shown
from data.queries.selection import Roles
from data.settings import settings
from engine.claims import Verdict, evaluate
from engine.paper import figures, studies
from engine.paper.figures import Figure
from engine.study.plan import Plan, Role, plan
from engine.study.results import PAIRS
from engine.study.spec import Study, read_study
from tasks.studies import catalog
from tasks.studies.planning import worker_devices

_PAPER_DATASETS = {"cifar10", "cifar100"}
# The list of settings offers the recipes of this many launched studies; a longer list would hide the first ones.
MOST_LAUNCHED = 6


@dataclass(frozen=True)
class FigureSettings:
    """The settings under which a figure is trained.

    scale, data: as in `engine.paper.studies.study`. like: the id of a study whose recipe replaces that of the scale.
    """

    scale: str = "paper"
    data: str | None = None
    like: str | None = None

    @property
    def title(self) -> str:
        """The name of the settings in a list."""
        on = "" if self.data in (None, figures.OWN) and self.scale == "paper" else f" on {self._data()}"
        if self.like is not None:
            return f"as in study {self.like}{on}"
        return f"{figures.SCALES[self.scale].title}{on}"

    def _data(self) -> str:
        data = self.data or figures.SCALES[self.scale].data
        return "the paper's datasets" if data == figures.OWN else words.dataset(data)

    @property
    def is_paper(self) -> bool:
        """Whether the runs have the paper's data and recipe, so that their numbers can be compared with the paper's."""
        return self.like is None and not studies.scaling(self.scale, self.data)

    @property
    def query(self) -> dict[str, str]:
        """The settings as parameters of an address."""
        values = {"scale": self.scale, "data": self.data, "like": self.like}
        return {name: value for name, value in values.items() if value}


CATALOGUE = (FigureSettings(), FigureSettings("small"), FigureSettings("small", figures.OWN))


# Session key: the scale at which figures open whose address names none.
_SCALE = "paper_scale_of_workers"


def fitting_scale() -> str:
    """Return the scale that fits the workers: the paper's where one has a GPU, else small.

    Without live workers, those that this machine would start decide. The scale stays the same for the visit.
    """
    if _SCALE not in st.session_state:
        gpu = any(device.startswith("cuda") for device in worker_devices(settings()))
        st.session_state[_SCALE] = "paper" if gpu else "small"
    return str(st.session_state[_SCALE])


def study(name: str, chosen: FigureSettings) -> Study:
    """Return the study of a figure, a panel or all figures; errors as in `engine.paper.studies.study`."""
    paper_study = _catalogued(name, chosen.scale, chosen.data)
    like = None if chosen.like is None else _launched().get(chosen.like)
    if like is None:
        return paper_study
    borrowed = {name: getattr(like, name) for name in ("recipe", "scope", "train_images", "test_images")}
    # A study must not have settings that none of its pruners uses.
    return paper_study.model_copy(update={**borrowed, "admm": like.admm.used_by(paper_study.pruners)})


# Studies and plans never change, and hashing one costs more than all else on a page of cards.
_catalogued = lru_cache(maxsize=256)(catalog.figure)


@cached(queries.marker, max_entries=4)
def _launched() -> dict[str, Study]:
    """Return every launched study by its id, the latest first."""
    if not queries.exists():
        return {}
    return {study_id: read_study(toml, recorded=True) for study_id, toml in tomls(queries.database())}


def launched_settings() -> tuple[FigureSettings, ...]:
    """Return settings with the recipes of launched studies that the catalogue does not have, the latest first."""
    by_key: dict[str, FigureSettings] = {}
    catalogue = {_key(studies.study("fig1", entry.scale, entry.data), entry.data or "") for entry in CATALOGUE}
    for study_id, launched in _launched().items():
        others = [dataset for dataset in launched.datasets if dataset not in _PAPER_DATASETS]
        for data in [*([figures.OWN] if len(others) < len(launched.datasets) else []), *others]:
            # The scale "paper" has the sparsities of such a study.
            chosen = FigureSettings("paper", None if data == figures.OWN else data, study_id)
            key = _key(launched, chosen.data or "")
            if key not in catalogue:
                by_key.setdefault(key, chosen)
    return tuple(by_key.values())[:MOST_LAUNCHED]


def _key(study: Study, data: str) -> str:
    admm = study.admm.used_by(("admm",))
    return f"{data} {study.recipe} {admm} {study.scope} {study.train_images} {study.test_images}"


def planned(name: str, chosen: FigureSettings) -> Plan:
    """Return the plan of a figure under some settings; raises DatasetError and StudyError, as planning a study does."""
    return _plan(name, chosen, _identities(study(name, chosen).datasets))


def _identities(datasets: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((dataset, identity(dataset, settings().home)) for dataset in datasets)


@lru_cache(maxsize=256)
def _plan(name: str, chosen: FigureSettings, identities: tuple[tuple[str, str], ...]) -> Plan:
    return plan(study(name, chosen), dict(identities))


@dataclass(frozen=True)
class Runs:
    """The finished runs of a figure as frames of `data.queries.points`, and the verdicts on the figure's claims.

    done, requested: numbers of trainings.
    """

    accuracy: pd.DataFrame
    pooled: pd.DataFrame
    diverged: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    done: int
    requested: int


def results() -> Marker:
    """Return a value that changes with results: the number of all, and of those whose mask is recorded."""
    return len(_recorded()), _completed()


def done(plan: Plan) -> int:
    """Return the number of finished trainings of a plan."""
    return len(_recorded() & plan.stages.keys())


@cached(queries.marker, max_entries=2, shared=True)
def _recorded() -> set[str]:
    return shown(queries.database()) if queries.exists() else set()


@cached(queries.marker, max_entries=2, shared=True)
def _completed() -> int:
    return completed(queries.database()) if queries.exists() else 0


def trained(figure: Figure, chosen: FigureSettings) -> Runs:
    """Return the finished runs of a figure; errors as in `planned`."""
    return _trained(figure.id, chosen, _identities(study(figure.id, chosen).datasets))


@cached(results, max_entries=128, shared=True, hash_funcs={FigureSettings: repr})
def _trained(name: str, chosen: FigureSettings, identities: tuple[tuple[str, str], ...]) -> Runs:
    plan = _plan(name, chosen, identities)
    roles = _finished_roles(plan)
    if not roles:
        return Runs(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), (), 0, len(plan.stages))
    rows = _all_figures(chosen, _identities(study(figures.ALL, chosen).datasets))
    accuracy, pooled, diverged = (frame.of(roles) for frame in (rows.accuracy, rows.pooled, rows.diverged))
    pooled = pooled[pooled["p"].isin(plan.study.overlap_p)]
    verdicts = evaluate(*from_frames(accuracy, pooled, diverged), claims=figures.FIGURES[name].claims)
    return Runs(accuracy, pooled, diverged, verdicts, done(plan), len(plan.stages))


def _finished_roles(plan: Plan) -> list[Role]:
    finished = _recorded()
    return [role for role in plan.roles if role.fingerprint in finished]


class _RowsByRole:
    """Rows of a frame with an index by role."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows
        self._indices: dict[tuple[object, ...], list[int]] = {}
        columns = [rows[name].to_numpy(dtype=object) for name in ("fingerprint", "pruner", "sparsity", "start")]
        for index, key in enumerate(zip(*columns, strict=True)):
            self._indices.setdefault(key, []).append(index)

    def of(self, roles: Sequence[Role]) -> pd.DataFrame:
        """Return the rows of some roles in the order of the roles."""
        keys = [(role.fingerprint, role.pruner, role.sparsity, role.start) for role in roles]
        indices = [index for key in keys for index in self._indices.get(key, ())]
        return self._rows.iloc[indices].reset_index(drop=True)


@dataclass(frozen=True)
class _AllFigures:
    accuracy: _RowsByRole
    pooled: _RowsByRole
    diverged: _RowsByRole
    means: Means


def means(chosen: FigureSettings) -> Means:
    """Return the means of the finished runs of all figures; errors as in `planned`."""
    return _all_figures(chosen, _identities(study(figures.ALL, chosen).datasets)).means


@cached(results, max_entries=8, shared=True, hash_funcs={FigureSettings: repr})
def _all_figures(chosen: FigureSettings, identities: tuple[tuple[str, str], ...]) -> _AllFigures:
    # Reading the rows of all figures at once takes a tenth of the time of reading each figure's.
    plan = _plan(figures.ALL, chosen, identities)
    roles = _finished_roles(plan)
    accuracy = points.accuracy(queries.database(), Roles(roles))
    pooled = points.pooled_overlaps(queries.database(), Roles(roles, plan.study.overlap_p), PAIRS)
    diverged = points.diverged(queries.database(), Roles(roles))
    return _AllFigures(
        _RowsByRole(accuracy), _RowsByRole(pooled), _RowsByRole(diverged), thumbnail.means(accuracy, pooled)
    )
