"""Loading plugins: Python files and modules that add entries to the tables with the lines that built-ins use."""

import importlib
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from data.plugins.checks import TABLES, Changes, Place, PluginError, Tables, check, identity
from data.settings import Settings
from data.settings_file import CHECKOUT, is_path
from engine import code
from engine.errors import UserError

log = logging.getLogger(__name__)

GROUP = "ticketscope.plugins"
# The most characters of an error that are shown.
SHOWN = 500


@dataclass(frozen=True)
class Added:
    """An entry that a plugin added: its table, its name there, and the identity of its code ("" for a pruner)."""

    kind: str
    name: str
    identity: str


@dataclass(frozen=True)
class Plugin:
    """A plugin: as it was named, its file, and what it added, or why it is not loaded.

    file: "" where there is none. line: where the error is, None if that is not known. error: "" for a loaded plugin.
    """

    name: str
    file: str
    added: tuple[Added, ...] = ()
    line: int | None = None
    error: str = ""

    @property
    def fault(self) -> str:
        """The place and the error of a plugin that is not loaded, in one sentence."""
        place = self.file or self.name
        return f"{place}{f', line {self.line}' if self.line else ''}: {self.error}"


@dataclass(frozen=True)
class _Source:
    """Where a plugin comes from: a path or an import name; shown: how it was named."""

    shown: str
    path: Path | None
    module: str

    @property
    def key(self) -> str:
        return str(self.path or self.module)


# The plugins that this process has tried to load, by the key of their source.
_tried: dict[str, Plugin] = {}
# A plugin may itself ask for all plugins.
_lock = threading.RLock()


def load(config: Settings) -> tuple[Plugin, ...]:
    """Load all plugins that the settings and installed packages name, each once per process, and return them.

    A plugin is loaded as a whole or not at all: one that fails leaves no entry, and says why in its `error`.
    """
    with _lock:
        found = list(dict.fromkeys(_sources(config)))
        for source in found:
            if source.key not in _tried:
                # What it imports in turn must not load it again.
                _tried[source.key] = Plugin(source.shown, "")
                _tried[source.key] = plugin = _load(source)
                if plugin.error:
                    log.warning("a plugin is not loaded: %s", plugin.fault)
        return tuple(dict.fromkeys(_tried[source.key] for source in found))


def loaded() -> tuple[Plugin, ...]:
    """Return the plugins that this process has tried to load."""
    return tuple(_tried.values())


def are_named(config: Settings) -> bool:
    """Return whether there is any plugin to load."""
    return bool(_sources(config))


def _sources(config: Settings) -> list[_Source]:
    named = [
        _Source(name, Path(name), "") if is_path(name) else _Source(name, None, name) for name in config.plugin_names
    ]
    installed = [_Source(f"{point.name} ({point.value})", None, point.value) for point in entry_points(group=GROUP)]
    return [*named, *(source for source in installed if source.module not in {other.module for other in named})]


def _load(source: _Source) -> Plugin:
    before: Tables = {kind: dict(table.data) for kind, table in TABLES.items()}
    modules = set(sys.modules)
    file: Path | None = None
    place: Place | None = None
    try:
        file = _file(source)
        with _watched(_root(file)) as changes, redirect_stdout(sys.stderr):
            _import(source, file)
        check(changes, before, _owner)
        added = tuple(Added(kind, name, identity(kind, name)) for kind, name in changes if name in TABLES[kind])
    except (Exception, SystemExit) as error:  # A plugin's code may raise anything.
        for kind, entries in before.items():
            TABLES[kind].data = dict(entries)
        root = None if file is None else _root(file)
        for name in set(sys.modules) - modules:
            if root is not None and _is_below(getattr(sys.modules[name], "__file__", None), root):
                del sys.modules[name]
        place = error.place if isinstance(error, PluginError) else _place(error, root)
        where = str(place.file if place else file or "")
        return Plugin(source.shown, where, line=place.line if place else None, error=_in_words(error))
    return Plugin(source.shown, str(file), added)


def _owner(kind: str, name: str) -> str:
    """Return whose an entry is: a plugin's, or Ticketscope's."""
    for plugin in _tried.values():
        if any((entry.kind, entry.name) == (kind, name) for entry in plugin.added):
            return f"the plugin {plugin.name}"
    return "Ticketscope"


def _file(source: _Source) -> Path:
    """Return the file that is run for a plugin."""
    if source.path is not None:
        file = source.path / "__init__.py" if source.path.is_dir() else source.path
        if not file.is_file():
            what = "is a folder without __init__.py" if source.path.is_dir() else "does not exist"
            raise PluginError(f"{source.path} {what}; give a Python file, or the folder of a package")
        if file.suffix != ".py":
            raise PluginError(f"{file} is no Python file; its name must end with .py")
        return file
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", source.module):
        raise PluginError(
            f"{source.module!r} is neither a path nor the name of a module; give one such as ./my_networks.py or "
            "my_package.networks"
        )
    found = code.source_file(source.module)
    if found is None:
        raise PluginError(
            f"there is no module {source.module} here; install it for {sys.executable}, put its folder on PYTHONPATH, "
            "or give the path of its file"
        )
    return found


def _root(file: Path) -> Path:
    """Return the folder of a plugin's files; for a single installed file, the file itself."""
    if file.name == "__init__.py" or file.parent.name not in ("site-packages", "dist-packages"):
        return file.parent
    return file


def _import(source: _Source, file: Path) -> None:
    if source.path is None:
        importlib.import_module(source.module)
        return
    package = file.name == "__init__.py"
    folder, name = (file.parents[1], file.parent.name) if package else (file.parent, file.stem)
    # What lies beside the file can be imported from it, as in a script; at the end of the path it hides nothing.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
    if name.isidentifier() and code.source_file(name) == file:
        importlib.import_module(name)
        return
    # Another module has this name already.
    name = "plugin_" + re.sub(r"\W", "_", name)
    while name in sys.modules:
        name += "_"
    spec = spec_from_file_location(name, file, submodule_search_locations=[str(file.parent)] if package else None)
    assert spec is not None
    assert spec.loader is not None
    # It is found under this name from here on, also by `find_spec`.
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)


@contextmanager
def _watched(root: Path) -> Iterator[Changes]:
    """Yield what gets each change of a table within the block: kind and name, and the line that made it."""
    changes: Changes = {}

    def watch(kind: str, name: str) -> None:
        frames = [frame for frame in traceback.extract_stack() if _is_below(frame.filename, root)]
        changes[kind, name] = Place(frames[-1].filename, frames[-1].lineno) if frames else None

    for kind, table in TABLES.items():
        table.changes = lambda name, kind=kind: watch(kind, name)
    try:
        yield changes
    finally:
        for table in TABLES.values():
            table.changes = None


def _place(error: BaseException, root: Path | None) -> Place | None:
    """Return the last place in a plugin's own files that an error passed, None if it passed none."""
    if root is None:
        return None
    if isinstance(error, SyntaxError) and _is_below(error.filename, root):
        return Place(str(error.filename), error.lineno)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_below(frame.filename, root)]
    return Place(frames[-1].filename, frames[-1].lineno) if frames else None


def _is_below(file: str | None, root: Path) -> bool:
    """Return whether a file is a plugin's own; Ticketscope and installed packages may lie in its folder, too."""
    path = Path(file or "")
    if not path.is_relative_to(root) or any(path.is_relative_to(CHECKOUT / floor) for floor in code.FLOORS):
        return False
    return not {"site-packages", "dist-packages"} & set(path.relative_to(root).parts)


def _in_words(error: BaseException) -> str:
    if isinstance(error, UserError):
        text = str(error)
    elif isinstance(error, SystemExit):
        text = "it ends the program (SystemExit) as it is imported; leave that out"
    elif isinstance(error, ModuleNotFoundError):
        text = f"{error}; install it for {sys.executable}"
    elif isinstance(error, SyntaxError):
        text = f"{type(error).__name__}: {error.msg}"
    else:
        text = f"{type(error).__name__}: {error}"
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def sentences(plugins: Sequence[Plugin]) -> list[str]:
    """Return a sentence on each plugin that is not loaded."""
    return [f"the plugin {plugin.name} is not loaded: {plugin.fault}" for plugin in plugins if plugin.error]
