"""The names in a study from elsewhere that this installation does not know, such as those of plugins."""

from collections.abc import Mapping
from typing import Any

from data.datasets.registry import DATASETS, FOLDER
from engine.registry import NETWORKS, PRUNERS, STARTS

_MOST_NAMED = 5


def unknown_names(values: Mapping[str, Any]) -> str:
    """Return a sentence on the networks, pruners and starts of a study that are not known here; "" if all are.

    values: of the study's TOML. A dataset that is not known here hinders no import, only further training.
    """
    tables: dict[str, tuple[str, Mapping[str, Any]]] = {
        "network": ("networks", NETWORKS),
        "pruner": ("pruners", PRUNERS),
        "start": ("starts", STARTS),
    }
    parts = []
    for what, (field, table) in tables.items():
        listed = values.get(field, [])
        names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        if missing := [name for name in dict.fromkeys(names) if name not in table]:
            several = "s" if len(missing) > 1 else ""
            parts.append(f"the {what}{several} {', '.join(f'{name[:60]!a}' for name in missing[:_MOST_NAMED])}")
    if not parts:
        return ""
    return (
        f"its study has {' and '.join(parts)}, which this Ticketscope does not know. Whoever exported it may have "
        "added them by a plugin, or have a newer Ticketscope: install the same here, then import the file again"
    )


def unknown_datasets(names: tuple[str, ...]) -> list[str]:
    """Return those datasets of a study that no name stands for here; folders are not looked up."""
    return [name for name in names if not name.startswith(FOLDER) and name not in DATASETS]
