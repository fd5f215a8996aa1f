"""The plan of a study: the tree of stages that it needs, each distinct stage once."""

import hashlib
import json
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

from engine import registry
from engine.code import CodeError
from engine.registry import PRUNERS, Implementations, Pruner, Scope, known_pruner
from engine.study.recipe import Admm, Frozen, Recipe
from engine.study.rounds import described, pruned_to
from engine.study.spec import Study, StudyError

# Every fingerprint contains this version: raise it when a change to the engine changes the results of equal settings.
ENGINE_VERSION = 1

Kind = Literal["pretrain", "admm", "retrain"]

# Stages that have equal values in these fields can be trained concurrently.
SHAPE = (
    ("network",),
    ("images", "identity"),
    ("images", "train"),
    ("images", "test"),
    ("recipe", "batch_size"),
    ("recipe", "precision"),
    ("recipe", "augmentation"),
)
StageShape = tuple[str | int | None, ...]


class Images(Frozen):
    """The images that a stage trains and tests on.

    name: where to load them from. identity: a hash of their content. train, test: limits on their number; None for all.
    """

    name: str
    identity: str
    train: int | None = None
    test: int | None = None


class Stage(Frozen):
    """One training: everything that determines its result.

    rounds: the successive sparsities pruned to so far (one entry for a mask made in one step). root: the fingerprint of
    the pretraining. parent: the fingerprint of the stage whose trained weights the mask is made from. code: the
    identities of network, score and start that are not at version 1 (see `engine.registry.implementations`). rho_grows:
    whether ADMM's rho grows over the rounds; older stages lack the field, and their rho is constant. movement: whether
    the training sums up the movement of its weights, for a score that needs it.
    """

    kind: Kind
    images: Images
    network: str
    learning_rate: float
    seed: int
    recipe: Recipe
    start: str | None = None
    score: str | None = None
    rounds: tuple[float, ...] = ()
    scope: Scope | None = None
    admm: Admm | None = None
    root: str | None = None
    parent: str | None = None
    code: Implementations = ()
    rho_grows: bool = False
    movement: bool = False

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits that hash all settings except the name of the images."""
        return self.fingerprint_by(ENGINE_VERSION)

    def fingerprint_by(self, engine: int) -> str:
        """Return the fingerprint that a version of the engine gives this stage."""
        # The epoch k counts, whether it was set or automatic; every pretraining saves theta_k.
        settings = {**hashed(self), "recipe": {**_hashed_table(self.recipe), "rewind_epoch": self.recipe.k}}
        text = json.dumps([engine, settings], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @cached_property
    def shape(self) -> StageShape:
        """The values of the fields in SHAPE; stages of equal shape can be trained concurrently."""
        return tuple(operator.attrgetter(".".join(place))(self) for place in SHAPE)

    @property
    def sparsity(self) -> float:
        """The fraction of prunable weights that the mask sets to 0, or that ADMM aims at; 0 for a dense network."""
        return self.rounds[-1] if self.rounds else 0.0

    @property
    def epochs(self) -> int:
        """The number of epochs that the stage trains."""
        return self.admm.epochs if self.kind == "admm" and self.admm else self.recipe.epochs


# The first version of fingerprints had these fields. Any other field enters a fingerprint only where it differs from
# its default, so that a new field changes no earlier fingerprint; its default must never change.
_ALWAYS_HASHED: dict[type[Frozen], set[str]] = {
    Stage: {"kind", "images", "network", "learning_rate", "seed", "recipe", "start", "score", "rounds", "scope", "admm",
            "root", "parent"},
    Images: {"identity", "train", "test"},
    Recipe: {"epochs", "batch_size", "momentum", "weight_decay", "milestones", "decay", "augmentation", "precision",
             "rewind_epoch"},
    Admm: {"rho", "rounds", "period"},
}  # fmt: skip
# The name of images says where they are, which is no part of a fingerprint.
_NEVER_HASHED = {Images: {"name"}}


def hashed(settings: Frozen) -> dict[str, Any]:
    """Return the fields of a stage, or of one of its tables, that a fingerprint hashes, as values for JSON."""
    kinds = type(settings).__mro__
    always = next(fields for kind, fields in _ALWAYS_HASHED.items() if kind in kinds)
    never = next((fields for kind, fields in _NEVER_HASHED.items() if kind in kinds), set())
    plain = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name not in never and (name in always or value != field.default):
            plain[name] = _hashed_table(value) if isinstance(value, Frozen) else value
    return plain


# The stages of a plan share their tables.
_hashed_table = lru_cache(maxsize=1024)(hashed)


@dataclass(frozen=True)
class Role:
    """The point of a study's charts that a stage is; one stage may have several roles.

    pruner is None and start "dense" for a pretraining.
    """

    fingerprint: str
    dataset: str
    network: str
    learning_rate: float
    seed: int
    pruner: str | None
    sparsity: float
    start: str


@dataclass(frozen=True)
class Plan:
    """The stages of a study by fingerprint, every parent before its children, and their roles."""

    study: Study
    stages: dict[str, Stage]
    roles: tuple[Role, ...]

    @cached_property
    def rounds(self) -> tuple[str, ...]:
        """What each round of the gradual pruners removes, see `rounds_described`."""
        return rounds_described(self.study)

    @cached_property
    def children(self) -> dict[str, tuple[str, ...]]:
        """The fingerprints of each stage's children."""
        children: dict[str, list[str]] = {fingerprint: [] for fingerprint in self.stages}
        for fingerprint, stage in self.stages.items():
            if stage.parent is not None:
                children[stage.parent].append(fingerprint)
        return {fingerprint: tuple(below) for fingerprint, below in children.items()}


def rounds_described(study: Study) -> tuple[str, ...]:
    """Return in words what each round of a study's gradual pruners removes, one text for each list of sparsities."""
    lists = (part.sparsities for part in study.products if any(known_pruner(name).gradual for name in part.pruners))
    return tuple(described(sparsities, study.round_rate) for sparsities in dict.fromkeys(lists))


def plan(study: Study, identities: Mapping[str, str]) -> Plan:
    """Return the plan of a study.

    identities: from the names of its datasets to the hashes of their content. ValueError for the precision auto, since
    a stage's result must not depend on where it is trained. StudyError where the code of an added network, score or
    start cannot be read.
    """
    if study.recipe.precision == "auto":
        raise ValueError("precision is auto; choose fp32 or bf16 for the hardware at hand before planning")
    try:
        return _expanded(study, identities)
    except CodeError as error:
        raise StudyError({"": str(error)}) from error


def _expanded(study: Study, identities: Mapping[str, str]) -> Plan:
    stages: dict[str, Stage] = {}
    # A dict for each role once, in order, because the parts of a study may overlap.
    roles: dict[Role, None] = {}
    for product in study.products:
        for root in _roots(product, identities):
            stages.setdefault(root.fingerprint, root)
            roles[_role(root, None, "dense")] = None
            for name in product.pruners:
                for stage, start in _pruned(product, root, name):
                    stages.setdefault(stage.fingerprint, stage)
                    if start in product.starts:
                        roles[_role(stage, name, str(start))] = None
    return Plan(study, stages, tuple(roles))


def _roots(study: Study, identities: Mapping[str, str]) -> Iterator[Stage]:
    for dataset in study.datasets:
        images = Images(name=dataset, identity=identities[dataset], train=study.train_images, test=study.test_images)
        for network in study.networks:
            for learning_rate in study.learning_rates:
                for seed in study.seeds:
                    yield Stage(
                        kind="pretrain",
                        images=images,
                        network=network,
                        learning_rate=learning_rate,
                        seed=seed,
                        recipe=study.recipe,
                        code=registry.implementations(network, None, None),
                    )


def _pruned(study: Study, root: Stage, name: str) -> Iterator[tuple[Stage, str | None]]:
    """Yield a pruner's stages below one pretraining with the start of each, parents first.

    The start is None for stages that are no point of a chart: ADMM itself, and trainings that only make the next
    round's mask.
    """
    pruner = PRUNERS[name]
    if registry.sums_movement(pruner) and not pruner.admm:
        # This pretraining is another stage than the dense one, which other pruners share.
        root = Stage.model_validate({**root.model_dump(), "movement": True})
        yield root, None
    parent = root
    for reached, is_listed in pruned_to(study.sparsities, study.round_rate, pruner.gradual):
        if pruner.admm:
            parent = _admm(study, root, name, reached[-1])
            yield parent, None
        starts = study.starts if is_listed else ()
        for start in starts:
            yield _retrain(study, root, parent, pruner, reached, start), start
        if pruner.gradual and reached[-1] != study.sparsities[-1]:
            # The next mask comes from this training, whether or not the study lists its start.
            parent = _retrain(study, root, parent, pruner, reached, pruner.resets_to)
            if pruner.resets_to not in starts:
                yield parent, None


def _admm(study: Study, root: Stage, name: str, sparsity: float) -> Stage:
    return _child(
        root,
        root,
        kind="admm",
        rounds=(sparsity,),
        scope=study.scope,
        # A setting that this pruner does not use must not enter the fingerprint.
        admm=study.admm.used_by((name,)),
        rho_grows=not PRUNERS[name].constant_rho,
        code=root.code,
        movement=registry.sums_movement(PRUNERS[name]),
    )


def _retrain(study: Study, root: Stage, parent: Stage, pruner: Pruner, rounds: tuple[float, ...], start: str) -> Stage:
    return _child(
        root,
        parent,
        kind="retrain",
        start=start,
        score=pruner.score,
        rounds=rounds,
        scope=study.scope,
        code=registry.implementations(root.network, pruner.score, start),
        # Only these trainings are pruned again. Those at the last sparsity are pruned in a study that prunes further.
        movement=pruner.gradual and start == pruner.resets_to and registry.sums_movement(pruner),
    )


def _child(root: Stage, parent: Stage, **changes: object) -> Stage:
    shared = {name: getattr(root, name) for name in ("images", "network", "learning_rate", "seed", "recipe")}
    return Stage.model_validate({**shared, "root": root.fingerprint, "parent": parent.fingerprint, **changes})


def _role(stage: Stage, pruner: str | None, start: str) -> Role:
    return Role(
        fingerprint=stage.fingerprint,
        dataset=stage.images.name,
        network=stage.network,
        learning_rate=stage.learning_rate,
        seed=stage.seed,
        pruner=pruner,
        sparsity=stage.sparsity,
        start=start,
    )
