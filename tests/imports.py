"""The imports between the modules of the floors as a graph; `python -m tests.imports` prints its figures."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = ("engine", "data", "tasks", "app", "ticketscope")


def modules(*tops: str) -> dict[str, Path]:
    """Return the files of all modules in some folders by dotted name; `__init__.py` has the name of its package."""
    files = [file for top in tops for file in sorted((ROOT / top).rglob("*.py"))]
    return {_name(file): file for file in files}


def _name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder(module: str, files: Mapping[str, Path]) -> str:
    """Return the dotted name of the folder of a module."""
    return ".".join(files[module].parent.relative_to(ROOT).parts)


def imported(file: Path, for_types: bool = True) -> set[str]:
    """Return the dotted names that a file imports, also in functions; for_types: also those under TYPE_CHECKING."""
    return set(_imported(ast.parse(file.read_text(encoding="utf-8")), for_types))


def _imported(node: ast.AST, for_types: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif for_types or not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
        for child in ast.iter_child_nodes(node):
            yield from _imported(child, for_types)


def graph(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """Return for each module the modules of the same mapping that it imports."""
    return {module: {other for name in imported(file) if (other := _of(name, files))} for module, file in files.items()}


def _of(name: str, files: Mapping[str, Path]) -> str | None:
    """Return the module that a dotted name names or is defined in, None where it is not in the mapping."""
    if name in files:
        return name
    above = name.rpartition(".")[0]
    return above if above in files else None


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """Return the modules of one circle of imports, an empty list where there is none."""
    try:
        tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def levels(edges: Mapping[str, set[str]]) -> int:
    """Return the length of the longest chain of imports, counted in modules."""
    depth: dict[str, int] = {}
    for module in TopologicalSorter(edges).static_order():
        depth[module] = 1 + max((depth[other] for other in edges[module]), default=0)
    return max(depth.values(), default=0)


def main() -> None:
    """Print for each floor its modules, folders, levels and imports, and the imports between folders."""
    files = modules(*FLOORS)
    edges = graph(files)
    print(f"{'floor':8}{'modules':>8}{'folders':>8}{'largest':>8}{'imports':>8}{'between':>8}{'levels':>8}  circle")
    for floor in FLOORS:
        own = {module: path for module, path in files.items() if module.partition(".")[0] == floor}
        inner = graph(own)
        sizes: dict[str, int] = defaultdict(int)
        for module, path in own.items():
            sizes[folder(module, files)] += path.name != "__init__.py"
        imports = sum(map(len, inner.values()))
        between = sum(folder(a, files) != folder(b, files) for a, others in inner.items() for b in others)
        loop = circle(inner)
        depth = "" if loop else str(levels(inner))
        row = (sum(sizes.values()), len(sizes), max(sizes.values()), imports, between)
        print(f"{floor:8}" + "".join(f"{number:8}" for number in row) + f"{depth:>8}  {' > '.join(loop) or 'none'}")
    pairs: dict[tuple[str, str], int] = defaultdict(int)
    for module, others in edges.items():
        for other in others:
            if folder(module, files) != folder(other, files):
                pairs[folder(module, files), folder(other, files)] += 1
    print()
    for (above, below), number in sorted(pairs.items()):
        print(f"{above:20} -> {below:20}{number:5}")


if __name__ == "__main__":
    main()
