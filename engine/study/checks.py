"""Faults and surprises of a study's design, checked before anything is trained."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from engine.dataset import Shape
from engine.formatting import listing, number, percent
from engine.registry import PRUNERS, network_title
from engine.study import mask_sizes
from engine.study.layers import Anatomy, Layer
from engine.study.recipe import PADDING, Recipe
from engine.study.rounds import pruned_to
from engine.study.spec import Study

# The anatomy of a network on a dataset, by their names; None where it is not known.
Anatomies = Callable[[str, str], Anatomy | None]
Sentences = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Finding:
    """One sentence on a study's design, and the field of the study that it is about."""

    field: str
    text: str


@dataclass
class Findings:
    """Errors by field, with which no study is launched, and warnings, which its author should read before launching."""

    errors: dict[str, str] = field(default_factory=dict)
    warnings: list[Finding] = field(default_factory=list)

    def refuse(self, sentences: Iterable[tuple[str, str]]) -> None:
        """Add errors, given as field and sentence; several of one field are joined."""
        for name, text in sentences:
            self.errors[name] = f"{self.errors[name]}; {text}" if name in self.errors else text

    def warn(self, sentences: Iterable[tuple[str, str]]) -> None:
        """Add warnings, given as field and sentence, without repetitions."""
        added = (Finding(name, text) for name, text in sentences)
        self.warnings += [finding for finding in dict.fromkeys(added) if finding not in self.warnings]


def check(study: Study, shapes: Mapping[str, Shape], anatomies: Anatomies) -> Findings:
    """Return all errors and warnings of a study's design at once.

    shapes: of its datasets, by name. Networks without a known anatomy are not checked.
    """
    findings = Findings()
    findings.refuse(_too_many_images(study, shapes))
    findings.refuse(_alike(study))
    findings.refuse(_early_drops(study.recipe))
    findings.warn(_early_drops_of_admm(study))
    for dataset, shape in shapes.items():
        findings.refuse(_crops(study, dataset, shape, refused=True))
        findings.warn(_crops(study, dataset, shape, refused=False))
    # Masks often have the same fault on several datasets, which one sentence then names.
    masked: dict[tuple[bool, str, str], list[str]] = {}
    for (network, dataset), products in _places(study).items():
        anatomy = anatomies(network, dataset)
        if anatomy is None:
            continue
        where = f"{network_title(network)} on {dataset}"
        findings.refuse(_single_images(study, shapes[dataset], anatomy, where, refused=True))
        findings.warn(_single_images(study, shapes[dataset], anatomy, where, refused=False))
        for sentence in _masks(products, anatomy.layers, network_title(network)):
            masked.setdefault(sentence, []).append(dataset)
    for (refused, name, text), datasets in masked.items():
        sentences = [(name, f"on {listing(datasets)}, {text}")]
        findings.refuse(sentences) if refused else findings.warn(sentences)
    return findings


def _masks(products: Sequence[Study], layers: Sequence[Layer], network: str) -> Iterator[tuple[bool, str, str]]:
    """Yield errors (True) and warnings (False) of a network's masks, each once: the flag, the field and a sentence."""
    scope = products[0].scope
    listed = sorted({sparsity for study in products if study.pruners for sparsity in study.sparsities})
    yield from ((True, *sentence) for sentence in mask_sizes.impossible(listed, scope, layers, network))
    yield from ((False, *sentence) for sentence in mask_sizes.doubtful(listed, scope, layers, network))
    idle = [sentence for study in products for sentence in _idle_rounds(study, layers, network)]
    yield from ((False, *sentence) for sentence in dict.fromkeys(idle))


def _places(study: Study) -> dict[tuple[str, str], list[Study]]:
    """Return the products of a study that train a network on a dataset, by the names of both."""
    places: dict[tuple[str, str], list[Study]] = {}
    for part in study.products:
        for network, dataset in product(part.networks, part.datasets):
            places.setdefault((network, dataset), []).append(part)
    return places


def _too_many_images(study: Study, shapes: Mapping[str, Shape]) -> Sentences:
    for name, shape in shapes.items():
        for field_name, limit, count in (
            ("train_images", study.train_images, shape.train),
            ("test_images", study.test_images, shape.test),
        ):
            if limit is not None and limit > count:
                yield field_name, f"{limit} is more than {name} holds; allowed: 1 to {count}, or none for all"


def _alike(study: Study) -> Sentences:
    """Yield an error for values that pages would show alike."""
    for name, values, formatted in (
        ("learning_rates", study.learning_rates, number),
        ("sparsities", study.sparsities, percent),
    ):
        by_text: dict[str, list[str]] = {}
        for value in values:
            by_text.setdefault(formatted(value), []).append(repr(value))
        for text, same in by_text.items():
            if len(same) > 1:
                yield name, f"{listing(same)} are all shown as {text}; keep one of them, or set them further apart"


def _early_drops(recipe: Recipe) -> Sentences:
    for fraction, drop in zip(recipe.milestones, recipe.drops(recipe.epochs), strict=True):
        if drop == 0:
            yield (
                "recipe.milestones",
                f"{number(fraction)} of {recipe.epochs} epochs is epoch 0, so the whole training would run at "
                f"{number(recipe.decay)} times its learning rate; leave it out, or train longer",
            )


def _early_drops_of_admm(study: Study) -> Sentences:
    epochs = study.admm.epochs
    uses_admm = any(PRUNERS[name].admm for part in study.products for name in part.pruners)
    early = sum(drop == 0 for drop in study.recipe.drops(epochs))
    if uses_admm and early:
        yield (
            "recipe.milestones",
            f"of the {epochs} epochs of ADMM {'a milestone is' if early == 1 else f'{early} milestones are'} epoch 0: "
            f"all of it would run at {number(study.recipe.decay**early)} times the learning rate",
        )


def _crops(study: Study, dataset: str, shape: Shape, refused: bool) -> Sentences:
    if study.recipe.augmentation not in ("crop", "crop_flip"):
        return
    size = shape.image_size
    visible = max(0, size - PADDING) ** 2 / size**2
    where = f"images of {dataset} are {size} x {size} pixels, and a random crop moves them by up to {PADDING}"
    if refused and visible == 0:
        yield "recipe.augmentation", f"{where}, so that nothing of an image may be left; choose flip or none"
    elif not refused and 0 < visible < 0.5:
        yield (
            "recipe.augmentation",
            f"{where}, which may leave as little as {percent(visible)} of an image; flip and none leave it whole",
        )


def _single_images(study: Study, shape: Shape, anatomy: Anatomy, where: str, refused: bool) -> Sentences:
    """Yield the error or the warning of a network whose batch norm would get batches of one image."""
    train = min(study.train_images or shape.train, shape.train)
    if anatomy.norm_pixels is None or min(train, study.recipe.batch_size) > 1:
        return
    name = "recipe.batch_size" if study.recipe.batch_size == 1 else "train_images"
    if refused and anatomy.norm_pixels == 1:
        yield name, f"batch norm of {where} cannot take batches of 1 image, as its maps end as 1 pixel; give at least 2"
    elif not refused and anatomy.norm_pixels > 1:
        yield name, f"with batches of 1 image, batch norm of {where} would normalise each image by itself"


def _idle_rounds(study: Study, layers: Sequence[Layer], network: str) -> Sentences:
    for gradual in {PRUNERS[name].gradual for name in study.pruners}:
        steps = [reached[-1] for reached, _ in pruned_to(study.sparsities, study.round_rate, gradual)]
        if same := mask_sizes.idle(steps, study.scope, layers):
            name = "sparsities" if set(same) <= set(study.sparsities) else "round_rate"
            yield (
                name,
                f"{network}: masks of {percent(same[0])} and {percent(same[1])} keep as many weights of each layer",
            )
