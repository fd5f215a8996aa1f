"""The benchmark of the lower bound: the outputs that it counts, and its ratios."""

from benchmarks import lower_bound


def test_the_lower_bound_counts_the_outputs_of_layers() -> None:
    # The linear layers have 300, 100 and 10 outputs.
    assert lower_bound.outputs_per_image("lenet300") == 410
    # ResNet-20 has the stem, six 3x3 convolutions at each of three sizes, and ten classes.
    assert lower_bound.outputs_per_image("resnet20") == 7 * 16 * 32**2 + 6 * 32 * 16**2 + 6 * 64 * 8**2 + 10


def test_a_ratio_is_an_epochs_seconds_over_the_lower_bound() -> None:
    bounds = {"floors": [{"network": "vgg11", "precision": "fp32", "seconds": 2.0}]}
    measured = [{"network": "vgg11", "precision": "fp32", "train_images": 5_000, "ours": {"seconds_per_epoch": 1.0}}]
    assert lower_bound.ratios(bounds, measured) == {("vgg11", "fp32"): 5.0}
