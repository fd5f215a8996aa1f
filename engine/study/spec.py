"""A study as a frozen, validated model, read from and written to TOML."""

import itertools
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from engine.registry import NETWORKS, PRUNERS, STARTS, known_pruner
from engine.study import rounds, toml_limits
from engine.study.faults import StudyError, Tables, explain
from engine.study.fields import (
    RECORDED,
    LearningRates,
    Names,
    Networks,
    Pruners,
    Ps,
    Seeds,
    Sparsities,
    Starts,
    costs,
    is_recorded,
    legible,
)
from engine.study.recipe import Admm, Frozen, Recipe

__all__ = ["Part", "Study", "StudyError", "load_study", "parse_study", "read_study", "to_toml", "with_more_seeds"]

# `with_more_seeds` ends a study's name like this.
SEEDS_IN_NAME = re.compile(r" \(\d+ seeds\)$")
# A plan of this size takes two seconds to make; the whole paper has some thousands.
TRAININGS_ALLOWED = 20_000


class Part(Frozen):
    """A part of a study's combinations: all combinations of its lists; a list that is left out is the study's.

    Empty pruners, sparsities and starts train dense networks only.
    """

    datasets: Names | None = Field(None, min_length=1, description="some of the study's datasets")
    networks: Networks | None = Field(None, min_length=1, description="some of the study's networks")
    learning_rates: LearningRates | None = Field(None, min_length=1, description="some of the study's learning rates")
    pruners: Pruners | None = Field(None, description="some of the study's pruners")
    sparsities: Sparsities | None = Field(None, description="some of the study's sparsities, increasing")
    starts: Starts | None = Field(None, description="some of the study's starts")
    seeds: Seeds | None = Field(None, min_length=1, description="some of the study's seeds")

    @property
    def lists(self) -> dict[str, tuple[Any, ...]]:
        """The lists that the part sets, by field."""
        return {name: values for name in Part.model_fields if (values := getattr(self, name)) is not None}


class Study(Frozen):
    """A lottery-ticket study: all settings that decide what is trained and measured.

    It trains all combinations of its values, or if it has parts, those of each part.
    """

    name: Annotated[str, AfterValidator(legible)] = Field(
        min_length=1, max_length=100, description="a name of 1 to 100 characters"
    )
    note: str = Field("", max_length=2_000, description="what the study is for, at most 2,000 characters")
    datasets: Names = Field(
        min_length=1,
        description="one or more of digits, cifar10, cifar100, svhn, fashion_mnist, tiny_imagenet, folder:<path> or "
        "hf:<name>",
        json_schema_extra=costs("each repeats all trainings; those that need a download are downloaded once"),
    )
    networks: Networks = Field(
        min_length=1,
        description="one or more of " + ", ".join((*NETWORKS, *(family.pattern for family in NETWORKS.families))),
        json_schema_extra=costs("each repeats all trainings"),
    )
    learning_rates: LearningRates = Field(
        (0.01, 0.1),
        min_length=1,
        description="initial learning rates: numbers above 0, at most 10",
        json_schema_extra=costs("each repeats all trainings"),
    )
    pruners: Pruners = Field(
        ("iterative",),
        description="any of " + ", ".join(PRUNERS),
        json_schema_extra=costs(
            "each adds a training for each sparsity and start; ADMM one more for each sparsity, a score that needs "
            "movement one more pretraining"
        ),
    )
    sparsities: Sparsities = Field(
        (0.386, 0.623, 0.803, 0.858),
        description="fractions of prunable weights removed, increasing, between 0 and 1",
        json_schema_extra=costs("each adds a training for each pruner and start"),
    )
    round_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="most that a round of iterative pruning removes of the remaining weights, above 0 and below 1; the "
        "paper has 0.15. Rounds between the sparsities are trained and not shown; left out, one round per sparsity",
        json_schema_extra=costs("each round in between adds a training for each gradual pruner"),
    )
    starts: Starts = Field(
        tuple(STARTS),
        description="any of " + ", ".join(STARTS),
        json_schema_extra=costs("each adds a training for each pruner and sparsity"),
    )
    seeds: Seeds = Field(
        (0, 1, 2, 3, 4),
        min_length=1,
        description="whole numbers of 0 or more; each is one repetition",
        json_schema_extra=costs("each repeats all trainings"),
    )
    scope: Literal["layer", "global"] = Field(
        "layer", description="layer prunes every layer to the same sparsity, global ranks all layers together"
    )
    overlap_p: Ps = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5),
        min_length=1,
        description="p of the overlap ratio, increasing, in steps of 0.05",
        json_schema_extra=costs("nothing, since every p from 0.05 to 0.95 is recorded"),
    )
    train_images: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="train on this many images, balanced over the classes; left out, on all",
        json_schema_extra=costs("the time of an epoch grows with it"),
    )
    test_images: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="test on this many images, balanced over the classes; left out, on all",
        json_schema_extra=costs("about a third of the time that as many training images take"),
    )
    recipe: Recipe = Recipe()
    admm: Admm = Admm()
    parts: tuple[Part, ...] = Field(
        (),
        description="parts of all combinations to train, a table each; left out, all combinations",
        json_schema_extra=costs("fewer trainings than all combinations"),
    )

    @field_validator("admm")
    @classmethod
    def _rho_is_used(cls, admm: Admm, info: ValidationInfo) -> Admm:
        # Faulty pruners are absent here; they have an error of their own.
        pruners = info.data.get("pruners")
        if is_recorded(info) or pruners is None:
            return admm
        entries = [known_pruner(name) for name in pruners]
        if admm.rho is not None and not any(pruner.constant_rho for pruner in entries):
            raise ValueError(
                f"rho is {admm.rho:g}, but of the pruners only admm_constant has one rho for all rounds, and the study "
                f"lists {', '.join(pruners) or 'no pruners'}; add admm_constant to the pruners, or leave rho out: that "
                "of admm grows from rho_start to rho_end"
            )
        growing = {"rho_start": admm.rho_start, "rho_end": admm.rho_end}
        if (unused := [name for name, value in growing.items() if value is not None]) and not any(
            pruner.admm and not pruner.constant_rho for pruner in entries
        ):
            raise ValueError(
                f"{' and '.join(unused)} {'are' if len(unused) > 1 else 'is'} set, but of the pruners only admm has a "
                f"rho that grows, and the study lists {', '.join(pruners) or 'no pruners'}; add admm to the pruners, "
                f"or leave {' and '.join(unused)} out"
            )
        return admm

    @model_validator(mode="after")
    def _not_enormous(self, info: ValidationInfo) -> "Study":
        if is_recorded(info):
            return self
        # This check comes before the others, which would look at every value of every part.
        if len(self.parts) > TRAININGS_ALLOWED:
            raise ValueError(f"parts are {len(self.parts):,}; allowed: {TRAININGS_ALLOWED:,}")
        total = sum(_trainings(self, part) for part in self.parts or (None,))
        if total > TRAININGS_ALLOWED:
            raise ValueError(
                f"the study would take about {total:,} trainings; allowed: {TRAININGS_ALLOWED:,}. "
                "Leave out seeds, learning rates or sparsities, or make several studies of it"
            )
        return self

    @model_validator(mode="after")
    def _parts_within(self) -> "Study":
        for number, part in enumerate(self.parts, start=1):
            for name, values in part.lists.items():
                allowed = getattr(self, name)
                if unlisted := [value for value in values if value not in allowed]:
                    raise ValueError(
                        f"part {number} lists {name} {', '.join(map(str, unlisted))}, which the study does not list; "
                        f"allowed: {', '.join(map(str, allowed)) or 'none'}"
                    )
        return self

    @model_validator(mode="after")
    def _all_or_dense_only(self) -> "Study":
        for number, product in enumerate(self.products, start=1):
            lists = {"pruners": product.pruners, "sparsities": product.sparsities, "starts": product.starts}
            empty = [name for name, values in lists.items() if not values]
            if empty and len(empty) < len(lists):
                raise ValueError(
                    f"{f'of part {number}, ' if self.parts else ''}{' and '.join(empty)} is empty while "
                    f"{' and '.join(n for n in lists if n not in empty)} is not; "
                    "fill all three, or leave all three empty to train dense networks only"
                )
        return self

    @property
    def products(self) -> tuple["Study", ...]:
        """Studies without parts whose combinations make up this one's: the study itself, or one for each part."""
        return tuple(self.model_copy(update={**part.lists, "parts": ()}) for part in self.parts) or (self,)


def _trainings(study: Study, part: Part | None) -> int:
    """Return an upper estimate of the number of stages in the plan of a study, or of a part of it."""
    lists = part.lists if part else {}

    def count(name: str) -> int:
        return len(lists.get(name, getattr(study, name)))

    roots = count("datasets") * count("networks") * count("learning_rates") * count("seeds")
    between = rounds.between(lists.get("sparsities", study.sparsities), study.round_rate)
    gradual = sum(known_pruner(name).gradual for name in lists.get("pruners", study.pruners))
    return roots * (1 + count("pruners") * count("sparsities") * (count("starts") + 1) + gradual * between)


def with_more_seeds(study: Study, more: int) -> Study:
    """Return a study with further seeds, the smallest that it does not have; its previous stages are not trained again.

    Parts that set their seeds get them too. ValueError for more below 1, StudyError for a study that grows too large.
    """
    if more < 1:
        raise ValueError(f"more seeds are at least 1, given {more}")
    free = (seed for seed in itertools.count() if seed not in study.seeds)
    added = tuple(itertools.islice(free, more))
    seeds = (*study.seeds, *added)
    name = f"{SEEDS_IN_NAME.sub('', study.name)[:80]} ({len(seeds)} seeds)"
    parts = [
        {**part.lists, **({"seeds": (*part.seeds, *added)} if part.seeds is not None else {})} for part in study.parts
    ]
    return parse_study({**study.model_dump(exclude={"parts"}), "name": name, "seeds": seeds, "parts": parts})


_TABLES: Tables = {"recipe": Recipe, "admm": Admm, "parts": Part, "": Study}


def parse_study(values: dict[str, Any], recorded: bool = False) -> Study:
    """Return the study that a mapping describes; StudyError names every faulty field. recorded: as for `read_study`."""
    try:
        return Study.model_validate(values, context={RECORDED: recorded})
    except ValidationError as error:
        raise StudyError(explain(error, _TABLES)) from error


def read_study(text: str | bytes, recorded: bool = False) -> Study:
    """Return the study that a TOML text, or a file's content, describes; StudyError says what is wrong with it.

    recorded: it was accepted when it was launched, so that it may be larger than what a stranger may bring today.
    """
    try:
        text = toml_limits.decoded(text) if isinstance(text, bytes) else text
        limit = toml_limits.RECORDED_CHARACTERS if recorded else toml_limits.CHARACTERS
        return parse_study(toml_limits.read(text, limit), recorded)
    except toml_limits.TomlError as error:
        raise StudyError({"": f"the text cannot be read as a study: {error}"}) from error


def load_study(path: Path) -> Study:
    """Return the study in a TOML file; StudyError says what is wrong with the file or its fields."""
    try:
        # Reading a pipe or a device might never end.
        if not path.is_file():
            wrong = f"{path} is no file" if path.exists() else f"no study file at {path}"
            raise StudyError({"": f"{wrong}; give the path of a TOML file, or demo"})
        with path.open("rb") as file:
            return parse_study(toml_limits.read(toml_limits.decoded(file.read(toml_limits.BYTES + 1))))
    except OSError as error:
        raise StudyError({"": f"cannot read {path}: {error}"}) from error
    except toml_limits.TomlError as error:
        raise StudyError({"": f"{path} cannot be read as a study: {error}"}) from error


def to_toml(study: Study) -> str:
    """Return a study as TOML that `load_study` reads back unchanged."""
    values = study.model_dump(mode="json", exclude_none=True)
    if not study.parts:
        del values["parts"]
    return tomli_w.dumps(values)
