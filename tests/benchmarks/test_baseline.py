"""The plain loop trains under its mask."""

from pathlib import Path

import torch

from benchmarks.baseline import PlainLoop
from benchmarks.fixtures import images, pruned_network
from benchmarks.options import ENLARGED
from engine.study.recipe import Recipe

CPU = torch.device("cpu")


def test_the_plain_loop_trains_only_weights_under_the_mask(home: Path) -> None:
    dataset = images(ENLARGED, home, 32, 10)
    network, mask = pruned_network("resnet20", dataset, 0)
    PlainLoop(network, mask, dataset, Recipe(epochs=1, batch_size=16), 0.1, CPU, loaders=0).run_epoch()
    weights = network.state_dict()
    assert all(not weights[layer][~remaining].any() for layer, remaining in mask.items())
    assert all(weights[layer][remaining].all() for layer, remaining in mask.items())
