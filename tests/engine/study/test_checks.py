import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset import Shape
from engine.masks import magnitude_mask, sparsity
from engine.models.networks import build
from engine.study.checks import Findings, check
from engine.study.layers import Anatomy, Layer, known
from engine.study.mask_sizes import impossible, rounding
from engine.study.recipe import PADDING
from engine.study.spec import Study, parse_study
from engine.training.augment import Feed

SHAPES = {
    "digits": Shape(channels=1, image_size=8, classes=10, train=1437, test=360),
    "cifar10": Shape(channels=3, image_size=32, classes=10, train=50_000, test=10_000),
    "tiny": Shape(channels=1, image_size=4, classes=2, train=100, test=50),
    "sixteen": Shape(channels=3, image_size=16, classes=2, train=100, test=50),
}


def study(**changes: object) -> Study:
    values: dict[str, object] = {"name": "x", "datasets": ["cifar10"], "networks": ["resnet20"], "seeds": [0]}
    return parse_study({**values, **changes})


def checked(**changes: object) -> Findings:
    requested = study(**changes)

    def anatomy(network: str, dataset: str) -> Anatomy | None:
        shape = SHAPES[dataset]
        return known(network, shape.channels, shape.image_size, shape.classes)

    return check(requested, {name: SHAPES[name] for name in requested.datasets}, anatomy)


def warned(findings: Findings) -> str:
    return "\n".join(f"{finding.field}: {finding.text}" for finding in findings.warnings)


@pytest.mark.parametrize("network", ["resnet20", "vgg11"])
def test_the_papers_recipe_has_no_findings(network: str) -> None:
    quiet = checked(networks=[network], pruners=["iterative", "oneshot", "admm"], round_rate=0.15)
    assert (quiet.errors, quiet.warnings) == ({}, [])


def test_all_errors_are_reported_at_once() -> None:
    wrong = checked(
        datasets=["digits", "cifar10"],
        networks=["lenet300", "vgg11"],
        learning_rates=[0.01, 0.01 + 1e-12],
        sparsities=[0.5, 0.99999],
        recipe={"epochs": 3, "milestones": [0.1, 0.5], "batch_size": 1},
        test_images=500,
        pruners=["oneshot", "admm"],
        admm={"rounds": 1, "period": 1},
    )
    assert set(wrong.errors) == {
        "learning_rates",
        "sparsities",
        "recipe.milestones",
        "recipe.batch_size",
        "test_images",
    }
    assert {finding.field for finding in wrong.warnings} >= {"recipe.milestones", "recipe.augmentation"}


@given(st.floats(0.001, 0.999), st.integers(1, 200))
def test_a_milestone_is_refused_where_training_would_begin_at_the_lower_rate(fraction: float, epochs: int) -> None:
    findings = checked(recipe={"epochs": epochs, "milestones": [fraction]})
    begins_low = study(recipe={"epochs": epochs, "milestones": [fraction]}).recipe.learning_rate(0.1, 0, epochs) < 0.1
    assert ("recipe.milestones" in findings.errors) == begins_low


def test_a_milestone_at_epoch_0_of_admm_warns_only_where_admm_prunes() -> None:
    recipe = {"milestones": [0.05, 0.1]}
    admm = {"rounds": 2, "period": 2}
    assert "4 epochs of ADMM 2 milestones are epoch 0" in warned(checked(pruners=["admm"], recipe=recipe, admm=admm))
    assert not checked(pruners=["oneshot"], recipe=recipe, admm=admm).warnings


@given(st.floats(1e-7, 1 - 1e-7), st.sampled_from(["layer", "global"]))
def test_a_sparsity_is_refused_where_a_layers_mask_would_be_empty_or_whole(requested: float, scope) -> None:
    weights = {name: torch.randn(size) for name, size in (("a", 40), ("b", 300), ("c", 2_000))}
    layers = tuple(Layer(name, len(tensor), 10) for name, tensor in weights.items())
    mask = magnitude_mask(weights, requested, scope)
    masks = [torch.cat(list(mask.values()))] if scope == "global" else list(mask.values())
    is_empty = any(int(kept.sum()) == 0 for kept in masks)
    removes_nothing = all(bool(kept.all()) for kept in mask.values())
    assert bool(list(impossible([requested], scope, layers, "a network"))) == (is_empty or removes_nothing)
    assert abs(sparsity(mask) - requested) <= rounding(layers, scope)


def test_an_error_states_what_is_allowed() -> None:
    text = checked(networks=["lenet300"], datasets=["digits"], sparsities=[0.5, 0.9996, 0.9999]).errors["sparsities"]
    assert text.startswith(
        "on digits, at 99.96 % and 99.99 % no weight of fc3.weight (1,000) of LeNet-300 would remain"
    )
    assert "allowed: below 99.95 %" in text
    assert "sparsities" not in checked(networks=["lenet300"], datasets=["digits"], sparsities=[0.5, 0.9994]).errors
    text = checked(sparsities=[1e-6, 0.5]).errors["sparsities"]
    assert "0.0001 % removes no weight of ResNet-20" in text


def test_layers_that_keep_too_few_weights_are_named_with_their_number() -> None:
    said = warned(checked(networks=["mobilenet_v2"], sparsities=[0.386, 0.858]))
    # A depthwise layer has nine weights for each of 32 channels.
    assert "features.1.conv.0.0.weight keeps 41 of 288 weights for 32 outputs" in said
    assert "18 of 52 layers" in said
    assert not checked(networks=["mobilenet_v2"], sparsities=[0.386]).warnings
    assert not checked(networks=["mobilenet_v2"], pruners=[], sparsities=[], starts=[]).warnings


def test_layers_that_lose_no_weight_are_named() -> None:
    assert "0.05 % removes no weight of fc.weight (640)" in warned(checked(sparsities=[0.0005]))


def test_global_ranking_warns_that_layers_may_lose_all_weights() -> None:
    said = warned(checked(scope="global", sparsities=[0.858]))
    assert said.startswith("scope: on cifar10, ResNet-20: ranked together, layers may lose all weights")
    assert "fc.weight has 640" in said


def test_one_warning_names_all_datasets_that_it_concerns() -> None:
    said = warned(checked(datasets=["cifar10", "digits"], networks=["mobilenet_v2"], recipe={"augmentation": "none"}))
    assert said.count("MobileNet-V2") == 1
    assert "on cifar10 and digits, MobileNet-V2:" in said


def test_a_round_that_removes_nothing_is_reported() -> None:
    near = {"networks": ["lenet300"], "datasets": ["digits"], "recipe": {"augmentation": "none"}}
    assert "as many" not in warned(checked(**near, sparsities=[0.5, 0.501]))
    said = warned(checked(**near, sparsities=[0.00003, 0.00004, 0.5], pruners=["iterative"]))
    assert "sparsities: on digits, LeNet-300: masks of 0.003 % and 0.004 % keep as many" in said
    said = warned(checked(**near, sparsities=[0.0001], pruners=["iterative"], round_rate=0.00001))
    assert "round_rate: on digits, LeNet-300: masks of" in said


@pytest.mark.parametrize(
    ("field", "values", "text"),
    [("learning_rates", [0.1, 0.1 + 1e-9], "0.1"), ("sparsities", [0.5, 0.500001], "50 %")],
)
def test_values_that_read_alike_on_every_page_are_refused(field, values, text) -> None:
    assert f"{values[0]!r} and {values[1]!r} are all shown as {text}" in checked(**{field: values}).errors[field]


def test_close_high_sparsities_are_distinct() -> None:
    assert "sparsities" not in checked(sparsities=[0.9, 0.99, 0.992]).errors
    assert "all shown" not in checked(sparsities=[0.99985, 0.9999]).errors.get("sparsities", "")


@pytest.mark.parametrize(
    ("dataset", "augmentation", "refused", "warns"),
    [
        ("tiny", "crop", True, False),
        ("tiny", "flip", False, False),
        ("digits", "crop_flip", False, True),
        ("digits", "none", False, False),
        ("sixteen", "crop_flip", False, False),
    ],
)
def test_crops_of_tiny_images(dataset: str, augmentation: str, refused: bool, warns: bool) -> None:
    findings = checked(datasets=[dataset], networks=["lenet300"], recipe={"augmentation": augmentation})
    assert ("recipe.augmentation" in findings.errors) == refused
    assert ("recipe.augmentation" in warned(findings)) == warns
    assert PADDING == 4


@pytest.mark.parametrize("dataset", ["sixteen", "cifar10"])
@pytest.mark.parametrize("network", ["vgg11", "resnet20", "mobilenet_v2", "lenet300"])
def test_a_batch_of_one_image_is_refused_where_batch_norm_cannot_take_it(network: str, dataset: str) -> None:
    shape = SHAPES[dataset]
    built = build(network, shape.channels, shape.image_size, shape.classes).train()
    try:
        built(torch.randn(1, shape.channels, shape.image_size, shape.image_size))
        fails = False
    except ValueError:
        fails = True
    findings = checked(datasets=[dataset], networks=[network], recipe={"batch_size": 1})
    assert ("recipe.batch_size" in findings.errors) == fails
    assert ("recipe.batch_size" in warned(findings)) == (not fails and network != "lenet300")


@given(st.integers(1, 300), st.integers(1, 300))
def test_an_epoch_has_a_batch_of_one_image_only_where_a_warning_names_it(train: int, batch: int) -> None:
    class Images:
        train = torch.zeros(1)
        crop = flip = False
        device = torch.device("cpu")

    Images.train = torch.zeros(train, 1, 1, 1)
    sizes = Feed(Images, batch).sizes  # type: ignore[arg-type]
    findings = checked(train_images=train, recipe={"batch_size": batch})
    assert sum(sizes) > 0
    assert (min(sizes) == 1) == ("batches of 1 image" in warned(findings))


def test_an_unknown_network_has_no_findings() -> None:
    requested = study(sparsities=[0.5, 0.9999999], recipe={"batch_size": 1})
    findings = check(requested, {"cifar10": SHAPES["cifar10"]}, lambda network, dataset: None)
    assert (findings.errors, findings.warnings) == ({}, [])


def test_only_combinations_of_a_part_are_checked() -> None:
    parts = [
        {"networks": ["mobilenet_v2"], "sparsities": [0.386]},
        {"networks": ["resnet20"]},
    ]
    assert not checked(networks=["mobilenet_v2", "resnet20"], parts=parts).warnings
