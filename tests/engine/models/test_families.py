"""Networks by the names of families: their sizes in the literature, their layers, and one step of training."""

import hashlib

import pytest
import torch
from torch import nn

from engine.models.inspection import inspect
from engine.models.networks import build, prunable
from engine.models.torchvision_compat import torchvision
from engine.network_table import NETWORKS, TORCHVISION
from engine.seeds import global_seed
from engine.study.layers import known
from engine.study.recipe import Recipe, Schedule
from engine.training import concurrent
from engine.training.augment import to_device
from engine.training.sgd import Training
from tests.engine.conftest import made_dataset

FAMILIES = (
    "resnet32",
    "resnet110",
    "vgg13",
    "vgg16",
    "vgg19",
    "wide_resnet16_4",
    "wide_resnet10_1",
    "conv2",
    "conv4",
    "conv6",
)

TRAINED = (
    "resnet32", "vgg13", "wide_resnet10_2", "conv2", "torchvision:resnet18-small", "torchvision:shufflenet_v2_x0_5",
)  # fmt: skip
BESIDE = (
    "wide_resnet17_4", "wide_resnet4_4", "wide_resnet16_0", "wide_resnet16_21", "wide_resnet016_4", "wide_resnet106_1",
    "torchvision:resnet19", "torchvision:vit_b_16-small", "torchvision:", "torchvision:resnet18-small-small",
)  # fmt: skip
WITH_DROPOUT = (
    "alexnet", "vgg11", "efficientnet_b0", "convnext_tiny", "squeezenet1_0", "mobilenet_v3_small", "swin_t",
)  # fmt: skip

# The numbers of parameters, in millions, for images of 3 x 32 x 32 and 10 classes.
LITERATURE = {
    # He et al. 2016, table 6.
    "resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85, "resnet110": 1.7,
    # Simonyan & Zisserman 2015 without the hidden linear layers, as kuangliu/pytorch-cifar has them.
    "vgg11": 9.2, "vgg13": 9.4, "vgg16": 14.7, "vgg19": 20.0,
    # Zagoruyko & Komodakis 2016, tables 4 and 5.
    "wide_resnet16_4": 2.7, "wide_resnet40_4": 8.9, "wide_resnet16_8": 11.0, "wide_resnet28_10": 36.5,
    # Frankle & Carbin 2019, figure 2. It prints 1.7 M for Conv-6, which its layers do not have: 1.14 M in convolutions,
    # as it prints, and 4,096 x 256 + 256 x 256 + 256 x 10 = 1.12 M in linear layers.
    "conv2": 4.3, "conv4": 2.4, "conv6": 2.3,
}  # fmt: skip
# Of torchvision's documentation, for 3 x 224 x 224 and 1,000 classes.
DOCUMENTED = {
    "resnet18": 11_689_512, "resnet50": 25_557_032, "vgg16": 138_357_544, "densenet121": 7_978_856,
    "mobilenet_v3_small": 2_542_856, "efficientnet_b0": 5_288_548, "vit_b_16": 86_567_656, "squeezenet1_1": 1_235_496,
    "swin_t": 28_288_354, "convnext_tiny": 28_589_128, "shufflenet_v2_x0_5": 1_366_792,
}  # fmt: skip


def on_meta(name: str, channels: int = 3, size: int = 32, classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return build(name, channels, size, classes)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_sizes_are_those_of_the_literature() -> None:
    for name, millions in LITERATURE.items():
        digits = len(str(millions).partition(".")[2])
        # Zagoruyko & Komodakis cut 2.75 M to 2.7.
        assert round(parameters(on_meta(name)) / 1e6 - (name == "wide_resnet16_4") * 0.05, digits) == millions, name


def test_sizes_of_torchvisions_networks_are_the_documented_ones() -> None:
    for name, count in DOCUMENTED.items():
        assert parameters(on_meta(f"torchvision:{name}", 3, 224, 1000)) == count, name


@pytest.mark.parametrize(
    ("name", "shape", "names", "norms"),
    [
        ("resnet20", (3, 32, 10), "a0b0883720c5b920", (5.879429, 4.0, 0.0, 4.548876)),
        ("vgg11", (1, 8, 10), "49bd88fb954005aa", (1.45791, 0.0, 22.627417, 0.710615)),
    ],
)
def test_earlier_results_are_of_the_networks_that_are_built_now(
    name: str, shape: tuple[int, int, int], names: str, norms: tuple[float, ...]
) -> None:
    with global_seed(3, "initial"):
        network = build(name, *shape)
    digest = hashlib.blake2b(digest_size=8)
    for key, tensor in network.state_dict().items():
        digest.update(f"{key} {tuple(tensor.shape)}".encode())
    assert digest.hexdigest() == names
    drawn = list(network.parameters())
    # Other processors round the drawn numbers in other ways.
    assert [float(p.detach().norm()) for p in drawn[:: len(drawn) // 3]] == pytest.approx(norms, rel=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_layers_and_cost_are_known_without_building(name: str) -> None:
    entry = NETWORKS[name]
    for shape in ((3, 32, 10), (1, 8, 7), (3, 3, 2)):
        assert known(name, *shape) == inspect(entry.builder, *shape, arguments=entry.arguments)


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_training_changes_every_layer(name: str) -> None:
    size = 32 if name == "torchvision:shufflenet_v2_x0_5" else 8
    dataset = made_dataset(train=4, test=4, size=size, channels=1)
    with global_seed(0, "weights"):
        network = build(name, 1, size, 4)
    before = {layer: network.state_dict()[layer].clone() for layer in prunable(network)}
    data = to_device(dataset, "none", torch.device("cpu"))
    recipe = Recipe(epochs=1, batch_size=4, augmentation="none", precision="fp32", weight_decay=0.01)
    training = Training(network, data, Schedule(recipe, 0.1, 1, 0, "test"), {})
    assert torch.isfinite(torch.tensor(training.run_epoch().train_loss))
    assert all(not torch.equal(before[layer], network.state_dict()[layer]) for layer in before)


def test_the_names_of_torchvision_are_all_of_its_classification_models() -> None:
    models = torchvision().models
    assert sorted(models.list_models(module=models)) == sorted(TORCHVISION)


def test_torchvisions_networks_have_no_dropout_and_so_train_side_by_side() -> None:
    for name in WITH_DROPOUT:
        network = on_meta(f"torchvision:{name}")
        assert not concurrent.is_random(network), name
        assert all(getattr(module, "p", 0.0) == 0.0 for module in network.modules()), name
    with torch.device("meta"):
        assert concurrent.is_random(torchvision().models.convnext_tiny())


def test_a_small_stem_keeps_the_size_of_the_maps() -> None:
    network = on_meta("torchvision:resnet18-small", 1, 32, 10)
    assert (network.conv1.kernel_size, network.conv1.stride, network.conv1.in_channels) == ((3, 3), (1, 1), 1)
    assert isinstance(network.maxpool, nn.Identity)
    assert parameters(network) == 11_172_810
    large = inspect(NETWORKS["torchvision:resnet18"].builder, 3, 32, 10, ("resnet18", False))
    small = inspect(NETWORKS["torchvision:resnet18"].builder, 3, 32, 10, ("resnet18", True))
    assert [layer.name for layer in small.layers] == [layer.name for layer in large.layers]
    assert small.flops > 10 * large.flops


def test_grey_images_get_the_scale_of_coloured_ones() -> None:
    with global_seed(0, "weights"):
        coloured = build("torchvision:resnet18", 3, 32, 10)
    with global_seed(0, "weights"):
        grey = build("torchvision:resnet18", 1, 32, 10)
    assert torch.equal(grey.conv1.weight, coloured.conv1.weight[:, :1])


@pytest.mark.parametrize("name", BESIDE)
def test_names_beside_the_pattern_are_unknown(name: str) -> None:
    assert name not in NETWORKS
    with pytest.raises(KeyError):
        NETWORKS[name]


def test_families_answer_for_names_that_an_iteration_leaves_out() -> None:
    assert "wide_resnet28_10" in NETWORKS
    assert "wide_resnet28_10" not in list(NETWORKS)
    assert NETWORKS["wide_resnet28_10"].title == "WRN-28-10"
    assert NETWORKS["torchvision:resnet18-small"].title == "resnet18 (torchvision, small stem)"
    assert NETWORKS.get("wide_resnet28_10") == NETWORKS["wide_resnet28_10"]
