"""What some panels of the paper train, as the parts of one study."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine.spec import STARTS

if TYPE_CHECKING:
    from engine.paper import Panel

# What a part of a study combines, by the name of the list.
Lists = dict[str, tuple[Any, ...]]


def merged(panels: Iterable[Panel]) -> list[Lists]:
    """Return what some panels train, in as few parts as that takes."""
    found: dict[tuple[str, str, float, str | None, tuple[float, ...]], set[str]] = {}
    for panel in panels:
        for rate in panel.learning_rates:
            for pruner in panel.pruners if panel.trained else (None,):
                key = (panel.dataset, panel.network, rate, pruner, panel.sparsities if pruner else ())
                found.setdefault(key, set()).update(panel.trained)
    pruned = {key[:3] for key in found if key[3]}
    parts: list[Lists] = [
        {
            "datasets": (dataset,),
            "networks": (network,),
            "learning_rates": (rate,),
            "pruners": (pruner,) if pruner else (),
            "sparsities": sparsities,
            "starts": tuple(start for start in STARTS if start in starts),
        }
        # Whatever is pruned was trained dense before.
        for (dataset, network, rate, pruner, sparsities), starts in found.items()
        if pruner or (dataset, network, rate) not in pruned
    ]
    for field in ("pruners", "learning_rates", "networks", "datasets"):
        parts = _joined(parts, field)
    return parts


def _joined(parts: list[Lists], field: str) -> list[Lists]:
    """Return parts with those made one that differ in one field alone."""
    groups: dict[tuple[object, ...], Lists] = {}
    for part in parts:
        group = groups.setdefault(tuple(part[name] for name in part if name != field), {**part, field: ()})
        group[field] = (*group[field], *(value for value in part[field] if value not in group[field]))
    return list(groups.values())


def union(field: str, parts: list[Lists]) -> tuple[Any, ...]:
    """Return all values that parts have for a field, each once, in the order in which studies list them."""
    values = tuple(dict.fromkeys(value for part in parts for value in part[field]))
    if field == "sparsities":
        return tuple(sorted(values))
    return tuple(start for start in STARTS if start in values) if field == "starts" else values
