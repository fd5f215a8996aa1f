"""The table of networks that a study can name, and the families of names that it answers for."""

import re
from functools import lru_cache

from engine.entries import Family, Network, Table

# The classification models of torchvision; those that cut images into patches or windows have no small form.
TORCHVISION = (
    "alexnet", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny", "densenet121", "densenet161",
    "densenet169", "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_l",
    "efficientnet_v2_m", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mnasnet0_75",
    "mnasnet1_0", "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_16gf",
    "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf",
    "regnet_y_128gf", "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf", "regnet_y_3_2gf", "regnet_y_400mf",
    "regnet_y_800mf", "regnet_y_8gf", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50",
    "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "swin_b", "swin_s", "swin_t",
    "swin_v2_b", "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19",
    "vgg19_bn", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32", "wide_resnet101_2", "wide_resnet50_2",
)  # fmt: skip
_PATCHES = ("maxvit", "swin", "vit")
_PREFIX, _SMALL = "torchvision:", "-small"
_WIDE = re.compile(r"wide_resnet([1-9]\d{1,2})_([1-9]\d?)")


@lru_cache(maxsize=256)
def _wide_resnet(name: str) -> Network | None:
    """Return WRN-<depth>-<width>: depth 6n + 4 from 10 to 100, width 1 to 20."""
    found = _WIDE.fullmatch(name)
    depth, width = map(int, found.groups()) if found else (0, 0)
    if not (10 <= depth <= 100 and depth % 6 == 4 and 1 <= width <= 20):
        return None
    about = f"The wide residual network of {depth} layers, {width} times as wide, by Zagoruyko and Komodakis (2016)."
    builder = "engine.models.families:wide_resnet"
    return Network(f"WRN-{depth}-{width}", builder, about, version=1, arguments=(depth, width))


@lru_cache(maxsize=256)
def _torchvision(name: str) -> Network | None:
    """Return the network torchvision:<name>, or torchvision:<name>-small with a stem for small images."""
    if not name.startswith(_PREFIX):
        return None
    model = name.removeprefix(_PREFIX).removesuffix(_SMALL)
    small = name.endswith(_SMALL)
    if model not in TORCHVISION or (small and model.startswith(_PATCHES)):
        return None
    title = f"{model} (torchvision{', small stem' * small})"
    about = f"{model} as torchvision builds it, without dropout{', its stem fitted to small images' * small}."
    return Network(title, "engine.models.torchvision_models:build", about, version=1, arguments=(model, small))


FAMILIES = (
    Family(
        "wide_resnet<depth>_<width>",
        "depth 6n + 4 from 10 to 100, width 1 to 20",
        "Wide ResNet",
        "Residual networks with few, wide layers by Zagoruyko and Komodakis (2016), with a depth of 6n + 4 and a "
        "factor of the width, such as wide_resnet16_4.",
        _wide_resnet,
        tuple(f"wide_resnet{depth}_{width}" for depth, width in ((16, 4), (16, 8), (28, 10), (40, 2), (40, 4))),
    ),
    Family(
        "torchvision:<name>",
        "such as torchvision:resnet18, for small images torchvision:resnet18-small",
        "torchvision",
        "Any classification model of torchvision, untrained and without dropout. With -small at the end of its name, "
        "its first convolution has 3 x 3 weights and stride 1, and no pooling follows it, as suits small images.",
        _torchvision,
        tuple(f"{_PREFIX}{name}" for name in TORCHVISION),
    ),
)


def _resnet(depth: int) -> Network:
    about = f"The residual network of {depth} layers for small images by He et al. (2016)."
    return Network(f"ResNet-{depth}", "engine.models.networks:resnet", about, version=1, arguments=(depth,))


def _vgg(depth: int, convolutions: str) -> Network:
    about = f"{convolutions} convolutions with batch norm and one linear layer, after Simonyan and Zisserman (2015)."
    return Network(f"VGG-{depth}", "engine.models.networks:vgg", about, version=1, arguments=(depth,))


def _conv(convolutions: int, word: str) -> Network:
    about = f"{word} convolutions and three linear layers without batch norm by Frankle and Carbin (2019)."
    builder = "engine.models.families:conv"
    return Network(f"Conv-{convolutions}", builder, about, version=1, arguments=(convolutions,))


NETWORKS: Table[Network] = Table(
    {
        "resnet20": Network(
            "ResNet-20",
            "engine.models.networks:resnet20",
            "The residual network of 20 layers for small images by He et al. (2016).",
            version=1,
        ),
        **{f"resnet{depth}": _resnet(depth) for depth in (32, 44, 56, 110)},
        "vgg11": Network(
            "VGG-11",
            "engine.models.networks:vgg11",
            "Eight convolutions with batch norm and one linear layer, after Simonyan and Zisserman (2015).",
            version=1,
        ),
        **{f"vgg{depth}": _vgg(depth, word) for depth, word in ((13, "Ten"), (16, "Thirteen"), (19, "Sixteen"))},
        "mobilenet_v2": Network(
            "MobileNet-V2",
            "engine.models.networks:mobilenet_v2",
            "Inverted residual blocks with depthwise convolutions by Sandler et al. (2018), fitted to small images.",
            version=1,
        ),
        "lenet300": Network(
            "LeNet-300",
            "engine.models.networks:lenet300",
            "Two hidden linear layers of 300 and 100 units by LeCun et al. (1998).",
            version=1,
        ),
        **{f"conv{count}": _conv(count, word) for count, word in ((2, "Two"), (4, "Four"), (6, "Six"))},
    },
    FAMILIES,
)
