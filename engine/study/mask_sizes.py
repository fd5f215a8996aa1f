"""How many weights of each layer a study's masks would keep, computed from the sizes of layers."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from engine.counts import kept_count
from engine.formatting import listing, percent
from engine.registry import Scope
from engine.study.layers import Layer

# A layer is thin if removing weights at random would leave this share of its outputs without any weight.
THIN = 0.05
# A sentence names at most this many layers.
NAMED = 3
# Floating-point rounding changes a measured sparsity by at most this.
ROUNDING_ERROR = 1e-9


def impossible(
    listed: Sequence[float], scope: Scope, layers: Sequence[Layer], network: str
) -> Iterator[tuple[str, str]]:
    """Yield errors of the field sparsities: masks that keep no weight of a layer, and masks that remove no weight.

    listed: sparsities, increasing. network: its title.
    """
    groups = _groups(scope, layers)
    empty = [group for group in groups if listed and kept_count(listed[-1], group.size) == 0]
    if empty:
        smallest = min(group.size for group in empty)
        too_high = [percent(s) for s in listed if kept_count(s, smallest) == 0]
        yield (
            "sparsities",
            f"at {listing(too_high)} no weight of {_names(empty)} of {network} would remain; "
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
    """Yield warnings, as field and sentence, of masks that are possible but may not be meant; see `impossible`."""
    if listed and scope == "global":
        yield from _may_empty(listed[-1], layers, network)
    elif listed:
        yield from _thin(listed, layers, network)
        yield from _untouched(listed, layers, network)


def idle(steps: Sequence[float], scope: Scope, layers: Sequence[Layer]) -> tuple[float, float] | None:
    """Return the first two successive sparsities whose masks keep equally many weights in every layer, None if none."""
    groups = _groups(scope, layers)
    for before, after in pairwise(steps):
        if all(kept_count(before, group.size) == kept_count(after, group.size) for group in groups):
            return before, after
    return None


def rounding(layers: Sequence[Layer], scope: Scope) -> float:
    """Return how far a mask's sparsity may differ from the requested one, because weights are removed whole."""
    groups = 1 if scope == "global" else len(layers)
    return 0.5 * groups / sum(layer.size for layer in layers) + ROUNDING_ERROR


def _groups(scope: Scope, layers: Sequence[Layer]) -> Sequence[Layer]:
    """Return the groups of weights that are ranked together: each layer, or all layers as one."""
    if scope == "layer":
        return layers
    return (Layer("all layers together", sum(layer.size for layer in layers), 1),)


def _names(layers: Sequence[Layer]) -> str:
    names = [f"{layer.name} ({layer.size:,})" for layer in layers[:NAMED]]
    return listing([*names, f"{len(layers) - NAMED} more"] if len(layers) > NAMED else names)


def _emptied(sparsity: float, layer: Layer) -> float:
    """Return the share of a layer's outputs that would lose all weights if weights were removed at random."""
    return float(sparsity ** (layer.size / layer.outputs))


def _thin(listed: Sequence[float], layers: Sequence[Layer], network: str) -> Iterator[tuple[str, str]]:
    thin = {s: [layer for layer in layers if _emptied(s, layer) >= THIN] for s in listed}
    thin = {s: small for s, small in thin.items() if small and all(kept_count(s, layer.size) for layer in small)}
    if not thin:
        return
    worst = max(thin)
    first = sorted(thin[worst], key=lambda layer: -_emptied(worst, layer))
    parts = [
        f"{layer.name} keeps {kept_count(worst, layer.size):,} of {layer.size:,} weights for {layer.outputs:,} outputs"
        for layer in first[:NAMED]
    ]
    if len(first) > NAMED:
        parts.append(f"{len(first) - NAMED} more")
    since = f"from {percent(min(thin))} on, " if len(thin) > 1 else ""
    yield (
        "sparsities",
        f"{network}: {since}whole channels may lose all their weights; at {percent(worst)} in {len(first)} of "
        f"{len(layers)} layers: {listing(parts)}; if weights were removed at random, "
        f"{percent(round(_emptied(worst, first[0]), 2))} of the first layer's outputs would lose all of theirs",
    )


def _untouched(listed: Sequence[float], layers: Sequence[Layer], network: str) -> Iterator[tuple[str, str]]:
    for sparsity in listed:
        untouched = [layer for layer in layers if kept_count(sparsity, layer.size) == layer.size]
        if untouched and len(untouched) < len(layers):
            yield "sparsities", f"{network}: {percent(sparsity)} removes no weight of {_names(untouched)}"


def _may_empty(sparsity: float, layers: Sequence[Layer], network: str) -> Iterator[tuple[str, str]]:
    total = sum(layer.size for layer in layers)
    removed = total - kept_count(sparsity, total)
    smallest = min(layers, key=lambda layer: layer.size)
    if smallest.size <= removed:
        yield (
            "scope",
            f"{network}: ranked together, layers may lose all weights; {percent(sparsity)} removes {removed:,} of "
            f"{total:,}, and {smallest.name} has {smallest.size:,}",
        )
