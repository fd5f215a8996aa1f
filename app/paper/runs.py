"""The runs of a figure of the paper that are trained here, under some settings, and the verdicts on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from app import words
from app.paper import thumbnail
from app.paper.thumbnail import Means
from app.state import queries
from app.state.cache import Marker, cached
from data.datasets.registry import identity
from data.queries import points
from data.queries.evidence import from_frames
from data.queries.selection import Roles
from data.queries.studies import tomls
from data.settings import settings
from engine.claims import Verdict, evaluate
from engine.paper import figures as paper
from engine.paper import studies
from engine.paper.figures import Figure
from engine.study.plan import Plan, Role, plan
from engine.study.results import PAIRS
from engine.study.spec import Study, read_study

# The paper's datasets, which a study may hold under their own names.
_OWN = {"cifar10", "cifar100"}
# Beyond these a reader would not look for one.
MOST_FOUND = 6


@dataclass(frozen=True)
class Settings:
    """The settings under which a figure is trained.

    scale, data: as for `engine.paper.studies.study`. like: the id of a study whose recipe takes the place of the
    scale's.
    """

    scale: str = "paper"
    data: str | None = None
    like: str | None = None

    @property
    def title(self) -> str:
        """Their name in a list."""
        own = self.data in (None, paper.OWN) and not (self.scale == "small" and self.data is None)
        on = "" if own and self.scale == "paper" else f" on {self._data()}"
        if self.like is not None:
            return f"as in study {self.like}{on}"
        return f"{paper.SCALES[self.scale].title}{on}"

    def _data(self) -> str:
        data = self.data or paper.SCALES[self.scale].data
        return "the paper's datasets" if data == paper.OWN else words.dataset(data)

    @property
    def query(self) -> dict[str, str]:
        """The parameters that name them in an address."""
        values = {"scale": self.scale, "data": self.data, "like": self.like}
        return {name: value for name, value in values.items() if value and (name, value) != ("scale", "paper")}


CATALOGUE = (Settings(), Settings("small"), Settings("small", paper.OWN))


def study(name: str, chosen: Settings) -> Study:
    """Return what to train for a figure, a panel of one, or all; errors as for `engine.paper.studies.study`."""
    wanted = _catalogued(name, chosen.scale, chosen.data)
    if chosen.like is None:
        return wanted
    like = _recipes().get(chosen.like)
    return wanted if like is None else wanted.model_copy(update=_borrowed(like, wanted))


# Studies and plans never change, and hashing one costs more than all else on a page of cards.
_catalogued = lru_cache(maxsize=256)(studies.study)


def _borrowed(like: Study, wanted: Study) -> dict[str, object]:
    names = ("recipe", "scope", "train_images", "test_images")
    # Settings that none of the figure's pruners uses would be an error in a study of them.
    return {name: getattr(like, name) for name in names} | {"admm": like.admm.used_by(wanted.pruners)}


@cached(queries.marker, max_entries=4)
def _recipes() -> dict[str, Study]:
    """Return every launched study by its id, the latest first."""
    if not queries.exists():
        return {}
    return {study_id: read_study(toml, recorded=True) for study_id, toml in tomls(queries.database())}


def found_settings() -> tuple[Settings, ...]:
    """Return settings of launched studies that the catalogue does not have, the latest first."""
    found: dict[object, Settings] = {}
    known = {_key(studies.study("fig1", one.scale, one.data), one.data or "") for one in CATALOGUE}
    for study_id, launched in _recipes().items():
        others = [dataset for dataset in launched.datasets if dataset not in _OWN]
        for data in [*([paper.OWN] if len(others) < len(launched.datasets) else []), *others]:
            # The scale whose sparsities the study has.
            chosen = Settings("paper", None if data == paper.OWN else data, study_id)
            key = _key(launched, chosen.data or "")
            if key not in found and key not in known:
                found[key] = chosen
    return tuple(found.values())[:MOST_FOUND]


def _key(one: Study, data: str) -> str:
    return f"{data} {one.recipe} {one.admm.used_by(('admm',))} {one.scope} {one.train_images} {one.test_images}"


def planned(name: str, chosen: Settings) -> Plan:
    """Return the plan of a figure under some settings; DatasetError and StudyError as in planning a study."""
    return _plan(name, chosen, _identities(study(name, chosen).datasets))


def _identities(datasets: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((dataset, identity(dataset, settings().home)) for dataset in datasets)


@lru_cache(maxsize=256)
def _plan(name: str, chosen: Settings, identities: tuple[tuple[str, str], ...]) -> Plan:
    return plan(study(name, chosen), dict(identities))


@dataclass(frozen=True)
class Runs:
    """The runs of a figure that are done; frames as in `data.queries.studies`, verdicts on the figure's claims.

    done, requested: numbers of trainings.
    """

    accuracy: pd.DataFrame
    pooled: pd.DataFrame
    diverged: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    done: int
    requested: int


def results() -> Marker:
    """Return how many results there are, and how many of them have their mask recorded: results never change else."""
    return len(_recorded()), _completed()


def done(one: Plan) -> int:
    """Return how many trainings of a plan are done."""
    return len(_recorded() & one.stages.keys())


@cached(queries.marker, max_entries=2, shared=True)
def _recorded() -> set[str]:
    from data.queries.studies import recorded

    return recorded(queries.database()) if queries.exists() else set()


@cached(queries.marker, max_entries=2, shared=True)
def _completed() -> int:
    from data.queries.incomplete import completed

    return completed(queries.database()) if queries.exists() else 0


def trained(figure: Figure, chosen: Settings) -> Runs:
    """Return the runs of a figure that are done; errors as for `planned`."""
    return _trained(figure.id, chosen, _identities(study(figure.id, chosen).datasets))


@cached(results, max_entries=128, shared=True, hash_funcs={Settings: repr})
def _trained(name: str, chosen: Settings, identities: tuple[tuple[str, str], ...]) -> Runs:
    one = _plan(name, chosen, identities)
    finished = _recorded()
    roles = [role for role in one.roles if role.fingerprint in finished]
    if not roles:
        return Runs(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), (), 0, len(one.stages))
    every = _all_figures(chosen, _identities(study(paper.ALL, chosen).datasets))
    accuracy, pooled, diverged = (rows.of(roles) for rows in (every.accuracy, every.pooled, every.diverged))
    pooled = pooled[pooled["p"].isin(one.study.overlap_p)]
    verdicts = evaluate(*from_frames(accuracy, pooled, diverged), claims=paper.FIGURES[name].claims)
    return Runs(accuracy, pooled, diverged, verdicts, len(finished & one.stages.keys()), len(one.stages))


class _ByRole:
    """Rows, to be looked up by role."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows
        self._places: dict[tuple[object, ...], list[int]] = {}
        columns = [rows[name].to_numpy(dtype=object) for name in ("fingerprint", "pruner", "sparsity", "start")]
        for place, key in enumerate(zip(*columns, strict=True)):
            self._places.setdefault(key, []).append(place)

    def of(self, roles: Sequence[Role]) -> pd.DataFrame:
        """Return the rows of some roles in their order."""
        keys = [(role.fingerprint, role.pruner, role.sparsity, role.start) for role in roles]
        places = [place for key in keys for place in self._places.get(key, ())]
        return self._rows.iloc[places].reset_index(drop=True)


@dataclass(frozen=True)
class _AllFigures:
    accuracy: _ByRole
    pooled: _ByRole
    diverged: _ByRole
    means: Means


def means(chosen: Settings) -> Means:
    """Return the means of all runs of all figures that are done; errors as for `planned`."""
    return _all_figures(chosen, _identities(study(paper.ALL, chosen).datasets)).means


@cached(results, max_entries=8, shared=True, hash_funcs={Settings: repr})
def _all_figures(chosen: Settings, identities: tuple[tuple[str, str], ...]) -> _AllFigures:
    # One reading for all figures takes a tenth of the time of one for each.
    one = _plan(paper.ALL, chosen, identities)
    finished = _recorded()
    roles = [role for role in one.roles if role.fingerprint in finished]
    accuracy = points.accuracy(queries.database(), Roles(roles))
    pooled = points.pooled_overlaps(queries.database(), Roles(roles, one.study.overlap_p), PAIRS)
    diverged = points.diverged(queries.database(), Roles(roles))
    return _AllFigures(_ByRole(accuracy), _ByRole(pooled), _ByRole(diverged), thumbnail.means(accuracy, pooled))
