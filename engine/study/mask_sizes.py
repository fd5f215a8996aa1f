"""How many weights of each layer a study's masks would keep, from the sizes of layers alone."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from engine.counts import kept_count
from engine.formatting import listing, percent
from engine.registry import Scope
from engine.study.layers import Layer

# A layer is thin where weights removed at random would leave this share of its outputs without any.
THIN = 0.05
# Layers that one sentence names.
NAMED = 3
# The most by which rounding changes a measured sparsity.
HAIR = 1e-9


def impossible(
    listed: Sequence[float], scope: Scope, layers: Sequence[Layer], network: str
) -> Iterator[tuple[str, str]]:
    """Yield for the sparsities field what masks cannot be: layers without a weight, and masks that remove none.

    listed: sparsities, increasing. network: in words.
    """
    groups = _groups(scope, layers)
    empty = [group for group in groups if listed and kept_count(listed[-1], group.size) == 0]
    if empty:
        smallest = min(group.size for group in empty)
        too_high = [percent(s) for s in listed if kept_count(s, smallest) == 0]
        yield (
            "sparsities",
            f"at {listing(too_high)} no weight of {_names(empty)} of {network} would be left; "
            f"allowed: below {percent((smallest - 0.5) / smallest)}",
        )
    largest = max(group.size for group in groups)
    if too_low := [percent(s) for s in listed if kept_count(s, largest) == largest]:
        yield (
            "sparsities",
            f"{listing(too_low)} removes no weight of {network}, of which {largest:,} are ranked together at most; "
            f"allowed: from {percent(0.5 / largest)}",
        )


def doubtful(listed: Sequence[float], scope: Scope, layers: Sequence[Layer], network: str) -> Iterator[tuple[str, str]]:
    """Yield by field what masks are allowed to be, but may not be meant to; arguments as for `impossible`."""
    if listed and scope == "global":
        yield from _may_empty(listed[-1], layers, network)
    elif listed:
        yield from _thin(listed, layers, network)
        yield from _untouched(listed, layers, network)


def idle(steps: Sequence[float], scope: Scope, layers: Sequence[Layer]) -> tuple[float, float] | None:
    """Return the first two sparsities in a row whose masks keep equally many weights in every layer, if there are."""
    groups = _groups(scope, layers)
    for before, after in pairwise(steps):
        if all(kept_count(before, group.size) == kept_count(after, group.size) for group in groups):
            return before, after
    return None


def rounding(layers: Sequence[Layer], scope: Scope) -> float:
    """Return how far a mask's sparsity may lie from the one that was asked for, as whole weights are removed."""
    groups = 1 if scope == "global" else len(layers)
    return 0.5 * groups / sum(layer.size for layer in layers) + HAIR


def _groups(scope: Scope, layers: Sequence[Layer]) -> Sequence[Layer]:
    """Return what is ranked together: each layer, or all of them as one."""
    if scope == "layer":
        return layers
    return (Layer("all layers together", sum(layer.size for layer in layers), 1),)


def _names(layers: Sequence[Layer]) -> str:
    shown = [f"{layer.name} ({layer.size:,})" for layer in layers[:NAMED]]
    return listing([*shown, f"{len(layers) - NAMED} more"] if len(layers) > NAMED else shown)


def _emptied(sparsity: float, layer: Layer) -> float:
    """Return the share of a layer's outputs that weights removed at random would leave without any."""
    return float(sparsity ** (layer.size / layer.outputs))


def _thin(listed: Sequence[float], layers: Sequence[Layer], network: str) -> Iterator[tuple[str, str]]:
    thin = {s: [layer for layer in layers if _emptied(s, layer) >= THIN] for s in listed}
    thin = {s: found for s, found in thin.items() if found and all(kept_count(s, layer.size) for layer in found)}
    if not thin:
        return
    worst = max(thin)
    first = sorted(thin[worst], key=lambda layer: -_emptied(worst, layer))
    kept = [
        f"{layer.name} keeps {kept_count(worst, layer.size):,} of {layer.size:,} weights for {layer.outputs:,} outputs"
        for layer in first[:NAMED]
    ]
    if len(first) > NAMED:
        kept.append(f"{len(first) - NAMED} more")
    since = f"from {percent(min(thin))} on, " if len(thin) > 1 else ""
    yield (
        "sparsities",
        f"{network}: {since}whole channels may lose all their weights; at {percent(worst)} in {len(first)} of "
        f"{len(layers)} layers: {listing(kept)}; removed at random, weights would leave "
        f"{percent(round(_emptied(worst, first[0]), 2))} of the first layer's outputs without any",
    )


def _untouched(listed: Sequence[float], layers: Sequence[Layer], network: str) -> Iterator[tuple[str, str]]:
    for sparsity in listed:
        whole = [layer for layer in layers if kept_count(sparsity, layer.size) == layer.size]
        if whole and len(whole) < len(layers):
            yield "sparsities", f"{network}: {percent(sparsity)} removes no weight of {_names(whole)}"


def _may_empty(sparsity: float, layers: Sequence[Layer], network: str) -> Iterator[tuple[str, str]]:
    total = sum(layer.size for layer in layers)
    gone = total - kept_count(sparsity, total)
    small = [layer for layer in layers if layer.size <= gone]
    if small:
        smallest = min(small, key=lambda layer: layer.size)
        yield (
            "scope",
            f"{network}: ranked together, layers may lose all weights; at {percent(sparsity)} {gone:,} of {total:,} "
            f"go, and {smallest.name} has {smallest.size:,}",
        )
