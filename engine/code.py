"""The identity of an implementation: the version that it carries, or else a hash of its code."""

import ast
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

from engine.errors import UserError

log = logging.getLogger(__name__)

# ENGINE_VERSION in `engine.study.plan` covers the numbers of these modules, so a hash of code that uses them need not.
COVERED = frozenset(
    f"engine.{name}"
    for name in (
        "counts", "dataset", "entries", "masks", "network_table", "overlap", "ranking", "registry", "seeds",
        "models.batch_norm", "models.batch_norm_cpu", "models.batch_norm_gpu", "models.cast", "models.conv",
        "models.torchvision_compat",
        "stages.measure", "stages.prepare", "stages.run", "stages.runner", "stages.support", "stages.weights",
        "study.plan", "study.recipe", "study.results", "study.spec",
        "training.admm", "training.augment", "training.capacity", "training.concurrent", "training.cuda_graphs",
        "training.device", "training.flat_parameters", "training.precision", "training.sgd", "training.stacked",
        "training.streams",
    )
)  # fmt: skip


# The folders of Ticketscope's own packages.
FLOORS = ("engine", "data", "tasks", "app")


class CodeError(UserError):
    """The code of an implementation cannot be found or read, so that no fingerprint can name it."""


def where(code: str | Callable[..., object]) -> str:
    """Return module:name of a function or class; a text is returned as it is.

    Raises CodeError for what another process could not import by this name.
    """
    if isinstance(code, str):
        return code
    module, name = getattr(code, "__module__", None), getattr(code, "__qualname__", None)
    if not callable(code) or not isinstance(module, str) or not isinstance(name, str):
        raise CodeError(
            f"{code!r} is no function with a name; give a function, or a text such as my_module:my_function"
        )
    if "<" in name:
        what = "a lambda" if name.endswith("<lambda>") else "defined inside a function"
        raise CodeError(f"{name} is {what}, which workers cannot import; define it with def at the top of its module")
    if module == "__main__":
        raise CodeError(
            f"{name} is defined in a notebook or script, which workers cannot import; move it to a file of its own, "
            "and name that in TICKETSCOPE_PLUGINS"
        )
    return f"{module}:{name}"


def identity(where: str, version: int | None) -> str | None:
    """Return what tells an implementation from others of its name: its version, or a hash of its code without one.

    where: module:name. Returns None for version 1, so that fingerprints from before there were versions still hold.
    Raises CodeError for code that cannot be read.
    """
    if version is None:
        return f"code {code_hash(where)}"
    return None if version == 1 else f"version {version}"


@cache
def loaded_identity(where: str, version: int | None) -> str | None:
    """Return the `identity` that code had at the first call: that of the code which this process has imported."""
    return identity(where, version)


def load(places: Iterable[tuple[str, int | None]]) -> None:
    """Import code that has no version, so that `loaded_identity` is that of the code which runs.

    places: as for `identity`. Code that cannot be imported is only logged: the stage that needs it fails.
    """
    for where, version in places:
        if version is None:
            try:
                loaded_identity(where, version)
                resolve_name(where)
            except Exception as error:  # Code that somebody adds may raise anything as it is imported.
                log.warning("%s is not loaded: %s", where, error)


def code_hash(where: str) -> str:
    """Return 16 hex digits that hash the code of module:name without comments and docstrings.

    It covers what the code names in its own module and package, in modules beside these, and in Ticketscope; neither
    other installed packages nor the parts of the engine in COVERED. So it is the same wherever the code lies. The file
    is read at each call and not imported, so an edit counts at once.
    """
    module, _, name = where.partition(":")
    if not name:
        raise CodeError(f"{where!r} names no code; write module:name, such as engine.models.networks:resnet20")
    reached: dict[tuple[str, str], str] = {}
    _reach(module, name.partition(".")[0], module.partition(".")[0], reached)
    # Without the modules' names, so that code keeps its hash when it is moved.
    text = json.dumps(sorted((name, code) for (_, name), code in reached.items()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class _Module:
    """The statements of a module by the names that they bind, and where its imported names come from."""

    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, tuple[str, str | None]]


def _reach(module: str, name: str, own: str, reached: dict[tuple[str, str], str]) -> None:
    """Add the code of a name, and of all names in it, to `reached`; own: as for `_is_project`."""
    if (module, name) in reached:
        return
    parsed = _module(module)
    if name not in parsed.definitions:
        if name in parsed.imports:
            _follow(parsed.imports[name], None, own, reached)
            return
        raise CodeError(f"module {module} has no {name!r}; write where the code is defined, as module:name")
    statements = parsed.definitions[name]
    reached[module, name] = json.dumps([_canonical(statement) for statement in statements])
    for statement in statements:
        for used, attribute in _names(statement):
            if used in parsed.definitions:
                _reach(module, used, own, reached)
            elif used in parsed.imports:
                _follow(parsed.imports[used], attribute, own, reached)


def _follow(
    target: tuple[str, str | None], attribute: str | None, own: str, reached: dict[tuple[str, str], str]
) -> None:
    """Add the code that an import names, if it is the project's and not in COVERED, to `reached`."""
    module, name = target
    if name is not None and _is_project(f"{module}.{name}", own):
        module, name = f"{module}.{name}", None
    name = name or attribute
    if name is not None and module not in COVERED and _is_project(module, own):
        _reach(module, name, own, reached)


def _names(statement: ast.stmt) -> Iterator[tuple[str, str | None]]:
    """Yield the names that code uses, each with its attribute that the code reads, or None."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr
        elif isinstance(node, ast.Name):
            yield node.id, None


def _module(module: str) -> _Module:
    path = source_file(module)
    if path is None:
        raise CodeError(f"there is no module {module}, so its code cannot be read; correct its entry in the table")
    try:
        stat = path.stat()
        return _parsed(path, stat.st_mtime_ns, stat.st_size, module)
    except (OSError, SyntaxError, ValueError) as error:
        raise CodeError(
            f"the code of module {module} cannot be read from {path}: {error}; "
            "correct it, or give its entry in the table a version"
        ) from error


@lru_cache(maxsize=64)
def _parsed(path: Path, modified: int, size: int, module: str) -> _Module:
    del modified, size
    definitions: dict[str, list[ast.stmt]] = {}
    imports: dict[str, tuple[str, str | None]] = {}
    for statement in ast.parse(path.read_bytes()).body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    imports[alias.asname or alias.name.partition(".")[0]] = (alias.name, None)
            elif isinstance(node, ast.ImportFrom):
                origin = _absolute(module, node)
                imports |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
        for name in _bound(statement):
            definitions.setdefault(name, []).append(statement)
    return _Module(definitions, imports)


def _bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _canonical(node: object) -> object:
    """Return code as plain JSON values that depend neither on its layout nor on the version of Python."""
    if isinstance(node, list):
        return [_canonical(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        fields["body"] = fields["body"][1:]
    # Empty fields are dropped, because newer versions of Python have more of them.
    return [type(node).__name__, {name: _canonical(value) for name, value in fields.items() if value not in (None, [])}]


def source_file(module: str) -> Path | None:
    """Return the source file of a module, None where it has none, without importing packages, which may be slow."""
    top, *below = module.split(".")
    for folder, name in _places(top):
        path = folder.joinpath(name, *below)
        path = path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")
        if path.is_file():
            return path
    return None


def _places(top: str) -> Iterator[tuple[Path, str]]:
    """Yield the folders that a top-level module or package lies in, each with its name there.

    A package without `__init__.py` may lie in several. The name differs for a file that was loaded by its path.
    """
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    if spec.origin is not None:
        file = Path(spec.origin)
        inside = file.name == "__init__.py"
        yield (file.parents[1], file.parent.name) if inside else (file.parent, file.stem)
    else:
        yield from ((Path(folder).parent, Path(folder).name) for folder in spec.submodule_search_locations or ())


def _is_project(module: str, own: str) -> bool:
    """Return whether a module is a file of Ticketscope, of the package `own`, or lies beside that one.

    An installed package has only itself, since all others lie beside it.
    """
    top = module.partition(".")[0]
    path = source_file(module)
    if path is None or top in sys.stdlib_module_names:
        return False
    if top in (own, *FLOORS):
        return True
    folders = {folder for folder, _ in _places(top)} & {folder for folder, _ in _places(own)}
    return any(folder.name not in ("site-packages", "dist-packages") for folder in folders)
