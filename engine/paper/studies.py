"""The paper's figures as studies, at the paper's scale or a smaller one."""

from collections.abc import Iterable
from typing import Any

from engine.paper.figures import ALL, CATALOGUE, FIGURES, OWN, SCALES, Panel
from engine.registry import STARTS, network_title
from engine.study.spec import Study, StudyError, parse_study


def study(name: str, scale: str = "paper", data: str | None = None) -> Study:
    """Return a figure, some of its panels, or all figures as a study.

    name: a figure's id, an id with letters of panels such as fig7:a or fig5:cd, or all. scale: a key of SCALES. data: a
    dataset in place of all of the paper's, "paper" for the paper's own, None for the default of the scale.
    StudyError for an unknown name or scale.
    """
    _check_scale(scale)
    panels = _named(name)
    data = data or SCALES[scale].data
    setting = SCALES[scale].setting(data)
    parts = merged(scaled(panel, scale, data) for panel in panels)
    lists = {field: union(field, parts) for field in parts[0]}
    about = [] if name == ALL else [FIGURES[name.partition(":")[0]].about]
    return parse_study(
        {
            "name": _title(name, scale, data),
            "note": " ".join([*about, *scaling(scale, data)]),
            **lists,
            # A scale with fewer sparsities must not train the paper's rounds between them.
            "round_rate": None if setting.sparsities else CATALOGUE.round_rate,
            "seeds": CATALOGUE.seeds[: setting.seeds],
            "overlap_p": sorted({p for panel in panels for p in panel.ps}),
            "train_images": setting.train_images,
            "test_images": setting.test_images,
            "recipe": setting.recipe,
            "admm": setting.admm,
            # A part lists only the fields in which parts differ.
            "parts": [{field: part[field] for field in part if part[field] != lists[field]} for part in parts]
            if len(parts) > 1
            else (),
        }
    )


def scaled(panel: Panel, scale: str = "paper", data: str | None = None) -> Panel:
    """Return a panel with the dataset, network and sparsities of a scale; data: as for `study`."""
    _check_scale(scale)
    data = data or SCALES[scale].data
    sparsities = SCALES[scale].setting(data).sparsities
    has_all = panel.sparsities == CATALOGUE.sparsities
    return panel.model_copy(
        update={
            "dataset": panel.dataset if data == OWN else data,
            "network": CATALOGUE.substitutes.get(data, panel.network),
            "sparsities": sparsities if sparsities and has_all else panel.sparsities,
        }
    )


def drawn(
    panels: Iterable[Panel], scale: str = "paper", data: str | None = None
) -> list[tuple[Panel, tuple[Panel, ...]]]:
    """Return each different panel at a scale, with the paper's panels for which it stands.

    panels: the paper's, in whose order the result is. scale, data: as for `scaled`. Panels whose runs and series are
    the same at the scale become one, whose label lists their letters.
    """
    groups: dict[Panel, list[Panel]] = {}
    for panel in panels:
        groups.setdefault(scaled(panel, scale, data).model_copy(update={"label": ""}), []).append(panel)
    return [
        (panel.model_copy(update={"label": ", ".join(filter(None, (other.label for other in group)))}), tuple(group))
        for panel, group in groups.items()
    ]


def scaling(scale: str = "paper", data: str | None = None) -> tuple[str, ...]:
    """Return sentences on how a scale and its data depart from the paper; none for the paper's own."""
    _check_scale(scale)
    data = data or SCALES[scale].data
    setting = SCALES[scale].setting(data)
    sentences = []
    if data != OWN:
        sentences.append(f"Trained on {data} in place of the paper's datasets.")
    if data in CATALOGUE.substitutes:
        network = CATALOGUE.substitutes[data]
        sentences.append(f"Network {network_title(network)} in place of the paper's three.")
    # A folder may have fewer images.
    most = "at most " if data.startswith("folder:") else ""
    changes = [
        f"{most}{setting.train_images:,} training images" if setting.train_images else "",
        f"{most}{setting.test_images:,} test images" if setting.test_images else "",
        f"{setting.seeds} seeds instead of {len(CATALOGUE.seeds)}" if setting.seeds else "",
        f"accuracy at {len(setting.sparsities)} sparsities instead of {len(CATALOGUE.sparsities)}, and one round of "
        "iterative pruning for each sparsity"
        if setting.sparsities
        else "",
        *(f"{name.replace('_', ' ')} {value}" for name, value in setting.recipe.items()),
        *(f"ADMM {name} {value}" for name, value in setting.admm.items()),
    ]
    if any(changes):
        sentences.append(f"Scaled down: {', '.join(change for change in changes if change)}.")
    return tuple(sentences)


def _check_scale(scale: str) -> None:
    if scale not in SCALES:
        raise StudyError({"": f"{scale!r} is not a known scale; allowed: {', '.join(SCALES)}"})


def _named(name: str) -> tuple[Panel, ...]:
    if name == ALL:
        return tuple(panel for figure in FIGURES.values() for panel in figure.panels)
    figure, _, letters = name.partition(":")
    if figure not in FIGURES:
        raise StudyError({"": f"{name!r} is no figure of the paper; allowed: {', '.join(FIGURES)}, {ALL}"})
    panels = FIGURES[figure].panels
    if not letters:
        return panels
    labels = [panel.label for panel in panels if panel.label]
    if not set(letters) <= set(labels):
        allowed = f"allowed: {', '.join(labels)}" if labels else f"leave it out, as in {figure}"
        raise StudyError({"": f"{figure} has no panel {letters!r}; {allowed}"})
    return tuple(panel for panel in panels if panel.label in letters)


def _title(name: str, scale: str, data: str) -> str:
    figure, _, letters = name.partition(":")
    what = "all figures" if name == ALL else FIGURES[figure].title.lower() + (f", panel {letters}" if letters else "")
    changed = [SCALES[scale].title.lower()] * (scale != "paper") + [data] * (data != OWN)
    # A folder's path may be longer than a name.
    return (f"Paper, {what}" + (f" ({', '.join(changed)})" if changed else ""))[:100]


# The values that a part of a study combines, by field.
Lists = dict[str, tuple[Any, ...]]


def merged(panels: Iterable[Panel]) -> list[Lists]:
    """Return as few parts of a study as possible that train all that some panels need."""
    starts_by_key: dict[tuple[str, str, float, str | None, tuple[float, ...]], set[str]] = {}
    for panel in panels:
        for rate in panel.learning_rates:
            for pruner in panel.pruners if panel.trained else (None,):
                key = (panel.dataset, panel.network, rate, pruner, panel.sparsities if pruner else ())
                starts_by_key.setdefault(key, set()).update(panel.trained)
    pruned = {key[:3] for key in starts_by_key if key[3]}
    parts: list[Lists] = [
        {
            "datasets": (dataset,),
            "networks": (network,),
            "learning_rates": (rate,),
            "pruners": (pruner,) if pruner else (),
            "sparsities": sparsities,
            "starts": tuple(start for start in STARTS if start in starts),
        }
        # A part without a pruner is left out if another prunes the same network, which it trains dense first.
        for (dataset, network, rate, pruner, sparsities), starts in starts_by_key.items()
        if pruner or (dataset, network, rate) not in pruned
    ]
    for field in ("pruners", "learning_rates", "networks", "datasets"):
        parts = _joined(parts, field)
    return parts


def _joined(parts: list[Lists], field: str) -> list[Lists]:
    """Return the parts, with those that differ in this field alone merged into one."""
    groups: dict[tuple[object, ...], Lists] = {}
    for part in parts:
        group = groups.setdefault(tuple(part[name] for name in part if name != field), {**part, field: ()})
        group[field] = (*group[field], *(value for value in part[field] if value not in group[field]))
    return list(groups.values())


def union(field: str, parts: list[Lists]) -> tuple[Any, ...]:
    """Return all values of a field in some parts, each once, in the order in which studies list them."""
    values = tuple(dict.fromkeys(value for part in parts for value in part[field]))
    if field == "sparsities":
        return tuple(sorted(values))
    return tuple(start for start in STARTS if start in values) if field == "starts" else values
