"""Sentences on the pruners of a study whose masks are equal, weight for weight."""

from collections.abc import Iterable

import pandas as pd

from app import words

_PLACE = ["dataset", "network", "learning_rate", "sparsity"]


def sentences(accuracy: pd.DataFrame) -> list[str]:
    """Return a sentence for each group of pruners that have the same mask at some sparsities.

    accuracy: rows of `data.queries.points.accuracy`. A sentence names pruners, sparsities and seeds: 'Iterative and
    one-shot have the same mask at 38.6 %, seeds 0-2.' Where rows differ in dataset, network or learning rate, it names
    these too.
    """
    rows = accuracy[accuracy["pruner"].notna() & accuracy["mask"].notna()]
    several = {name: rows[name].nunique() > 1 for name in ("dataset", "network", "learning_rate")}
    order = {pruner: index for index, pruner in enumerate(dict.fromkeys(rows["pruner"]))}
    # All starts of a seed share a mask. A loop over groups of the frame would be slow for thousands of rows.
    unique = rows[[*_PLACE, "seed", "mask", "pruner"]].drop_duplicates()
    alike = unique[unique.duplicated([*_PLACE, "seed", "mask"], keep=False)].sort_values([*_PLACE, "seed"])
    by_mask: dict[tuple[object, ...], set[str]] = {}
    for *place, pruner in zip(*(alike[name].tolist() for name in alike.columns), strict=True):
        by_mask.setdefault(tuple(place), set()).add(pruner)
    seeds: dict[tuple[tuple[str, ...], tuple[object, ...]], set[int]] = {}
    for (*place, seed, _), names in by_mask.items():
        pruners = tuple(sorted(names, key=order.__getitem__))
        seeds.setdefault((pruners, tuple(place)), set()).add(int(str(seed)))
    # Sparsities that differ in nothing else share a sentence.
    merged: dict[tuple[object, ...], list[float]] = {}
    for (pruners, (dataset, network, rate, sparsity)), equal in seeds.items():
        where = [words.place(str(network), str(dataset))] * (several["dataset"] or several["network"])
        where += [f"learning rate {words.number(float(str(rate)))}"] * several["learning_rate"]
        merged.setdefault((pruners, tuple(where), seed_ranges(equal)), []).append(float(str(sparsity)))
    return [
        _sentence(pruners, sparsities, where, seeds_text)  # type: ignore[arg-type]
        for (pruners, where, seeds_text), sparsities in merged.items()
    ]


def _sentence(pruners: tuple[str, ...], sparsities: list[float], where: tuple[str, ...], seeds: str) -> str:
    names = words.listing([words.pruner(pruner).removesuffix(" magnitude") for pruner in pruners])
    at = words.listing([words.percent(sparsity) for sparsity in sorted(sparsities)])
    return ", ".join([f"{names[:1].upper()}{names[1:]} have the same mask at {at}", *where, seeds]) + "."


def seed_ranges(seeds: Iterable[int]) -> str:
    """Return seeds in words, consecutive ones as a range: 'seed 3', 'seeds 0-2, 5'."""
    ordered = sorted(seeds)
    spans: list[list[int]] = []
    for seed in ordered:
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    ranges = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)
    return f"seed{'s' * (len(ordered) > 1)} {ranges}"
