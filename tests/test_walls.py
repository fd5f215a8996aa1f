"""The imports that each folder may have, and limits on its size; each failure names the line to change."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import pytest

from tests.imports import FLOORS, ROOT, circle, folder, graph, imported, modules

# Each floor may import itself and the floors before it.
FOREIGN = {
    "engine": {"celery", "redis", "duckdb", "streamlit", "altair", "pandas"},
    "data": {"celery", "redis", "streamlit", "altair"},
    "tasks": {"streamlit", "altair"},
    "app": {"torch"},
    "ticketscope": {"torch", "streamlit"},
}

# The modules of these floors that lie in no folder are one room.
UNDIVIDED = {"engine", "ticketscope"}

# What each room may import of its own floor beside itself. A room is a folder, or on the floors data, tasks and app a
# module that lies in no folder.
ROOMS: dict[str, set[str]] = {
    "engine": set(),
    "engine.study": {"engine"},
    "engine.claims": {"engine", "engine.study"},
    "engine.paper": {"engine", "engine.study"},
    "engine.models": {"engine", "engine.study"},
    "engine.training": {"engine", "engine.study", "engine.models"},
    "engine.stages": {"engine", "engine.study", "engine.models", "engine.training"},
    "data.atomic": set(),
    "data.os_errors": set(),
    "data.passwords": set(),
    "data.private": set(),
    "data.processes": set(),
    "data.settings_file": {"data.os_errors"},
    "data.settings": {"data.passwords", "data.settings_file"},
    "data.artifacts": {"data.atomic", "data.settings"},
    "data.datasets": {"data.atomic", "data.os_errors", "data.settings", "data.settings_file", "data.artifacts"},
    "data.database": {
        "data.atomic", "data.os_errors", "data.private", "data.processes", "data.settings", "data.artifacts",
    },
    "data.plugins": {"data.settings", "data.settings_file", "data.artifacts", "data.datasets"},
    "data.queries": {"data.settings", "data.artifacts", "data.datasets", "data.database"},
    "data.parquet": {"data.database", "data.queries"},
    "data.weights": {"data.atomic", "data.artifacts", "data.datasets", "data.database", "data.queries"},
    "data.saved_views": {"data.database", "data.queries"},
    "data.shared_links": {"data.database", "data.queries"},
    "data.viewers": {"data.database", "data.datasets", "data.shared_links"},
    "data.bundles": {"data.artifacts", "data.datasets", "data.database", "data.queries", "data.parquet"},
    "tasks.accounts": set(),
    "tasks.process": set(),
    "tasks.units": set(),
    "tasks.progress": {"tasks.units"},
    "tasks.broker": {"tasks.process", "tasks.units"},
    "tasks.queue": {"tasks.process", "tasks.units", "tasks.broker"},
    "tasks.worker": {
        "tasks.accounts", "tasks.process", "tasks.units", "tasks.progress", "tasks.broker", "tasks.queue",
    },
    "tasks.notices": {"tasks.process", "tasks.units", "tasks.broker", "tasks.queue"},
    "tasks.services": {"tasks.process", "tasks.units", "tasks.broker", "tasks.queue", "tasks.worker"},
    "tasks.studies": {"tasks.process", "tasks.units", "tasks.broker", "tasks.queue", "tasks.worker", "tasks.services"},
    "tasks.bundles": {
        "tasks.process", "tasks.units", "tasks.broker", "tasks.queue", "tasks.worker", "tasks.services",
        "tasks.studies",
    },
    "tasks.cli": {
        "tasks.process", "tasks.units", "tasks.progress", "tasks.broker", "tasks.queue", "tasks.worker",
        "tasks.notices", "tasks.services", "tasks.studies", "tasks.bundles",
    },
    "tasks.__main__": {
        "tasks.accounts", "tasks.process", "tasks.units", "tasks.broker", "tasks.queue", "tasks.worker",
        "tasks.services", "tasks.studies", "tasks.bundles", "tasks.cli",
    },
    "app.words": set(),
    "app.state": {"app.words"},
    "app.auth": {"app.words", "app.state"},
    "app.guide": {"app.words", "app.state"},
    "app.charts": {"app.words"},
    "app.answer": {"app.words", "app.charts"},
    "app.components": {"app.words", "app.state", "app.auth", "app.guide", "app.charts", "app.answer"},
    "app.downloads": {"app.words", "app.state", "app.charts"},
    "app.new_study": {"app.words", "app.state", "app.auth", "app.charts", "app.answer", "app.components"},
    "app.compare": {"app.words", "app.state", "app.auth", "app.guide", "app.charts", "app.answer", "app.components"},
    "app.export": {"app.words", "app.state", "app.auth", "app.charts", "app.answer", "app.components"},
    "app.study": {
        "app.words", "app.state", "app.auth", "app.guide", "app.charts", "app.answer", "app.components",
        "app.new_study", "app.compare", "app.export",
    },
    "app.studies": {
        "app.words", "app.state", "app.auth", "app.guide", "app.charts", "app.answer", "app.components",
        "app.new_study", "app.compare", "app.export", "app.study",
    },
    "app.paper": {
        "app.words", "app.state", "app.auth", "app.guide", "app.charts", "app.answer", "app.components",
        "app.new_study", "app.compare", "app.export",
    },
    "app.views": {
        "app.words", "app.state", "app.auth", "app.guide", "app.charts", "app.answer", "app.components",
        "app.new_study", "app.compare", "app.export", "app.study", "app.studies", "app.paper",
    },
    "app.main": {"app.words", "app.state", "app.auth", "app.charts", "app.components"},
    "app.serve": {"app.words", "app.auth", "app.downloads", "app.paper"},
}  # fmt: skip

# Packages that a room never reaches, not even through the modules that it imports.
NEVER_REACHED = {
    "engine.study": "torch",
    "engine.claims": "torch",
    "engine.paper": "torch",
    "app.charts": "streamlit",
    "app.answer": "streamlit",
}

LARGEST_FOLDER = 12
LONGEST_MODULE = 300
# The `__init__.py` of these folders hand on names, so that callers need not know their modules.
HANDS_ON = {"engine.claims", "ticketscope"}

FILES = modules(*FLOORS)
EDGES = graph(FILES)


def floor_of(module: str) -> str:
    return module.partition(".")[0]


def room_of(module: str) -> str:
    where = folder(module, FILES)
    return module if where in FLOORS and where not in UNDIVIDED else where


@cache
def packages(module: str, for_types: bool = True) -> set[str]:
    """Return the top-level packages that a module imports; for_types: also those under TYPE_CHECKING."""
    return {name.partition(".")[0] for name in imported(FILES[module], for_types)}


def reached(start: str, edges: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return every module that a module reaches, each with the module that imports it."""
    importer, waiting = {start: ""}, [start]
    while waiting:
        module = waiting.pop()
        for other in edges[module]:
            if other not in importer:
                importer[other] = module
                waiting.append(other)
    return importer


def chain(module: str, importer: Mapping[str, str]) -> str:
    """Return in words the imports through which a module is reached."""
    names = [module]
    while importer[names[-1]]:
        names.append(importer[names[-1]])
    return ", which imports ".join(reversed(names))


def assert_none(faults: Iterable[str]) -> None:
    """Fail with one line for each fault."""
    text = "\n".join(faults)
    assert not text, f"\n{text}"


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_imports_one_above_it_or_a_package_that_belongs_elsewhere(floor: str) -> None:
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    own = [module for module in FILES if floor_of(module) == floor]
    assert own
    assert_none(
        f"{module} imports {package}, which no module of {floor} may; move the code up, or what it needs down."
        for module in own
        for package in sorted(packages(module) & (above | FOREIGN[floor]))
    )


def test_every_room_imports_only_the_rooms_below_it() -> None:
    def faults() -> Iterator[str]:
        for module, others in EDGES.items():
            room = room_of(module)
            for other in sorted(others):
                below = room_of(other)
                if floor_of(below) == floor_of(room) and below not in {room, *ROOMS.get(room, ())}:
                    yield f"{module} imports {other}, but {room} may not import {below}; see ROOMS in this file."

    assert_none(faults())


def test_every_room_has_a_row_that_says_what_it_may_import() -> None:
    assert_none(
        f"{room} has no row in ROOMS; add one that says what it may import of {floor_of(room)}."
        for room in sorted({room_of(module) for module in FILES} - {*ROOMS, *FLOORS})
    )


def test_the_table_of_rooms_has_no_circle() -> None:
    loop = circle(ROOMS)
    assert not loop, f"ROOMS lets {' import '.join(loop)}; take one of these out."


def test_no_modules_import_each_other_in_a_circle() -> None:
    loop = circle(EDGES)
    assert not loop, (
        f"{' is imported by '.join(loop)}; move what both need into a module below them. "
        "Imports in functions and behind TYPE_CHECKING count."
    )


@pytest.mark.parametrize("room", NEVER_REACHED)
def test_a_room_reaches_no_forbidden_package(room: str) -> None:
    package = NEVER_REACHED[room]
    own = [module for module in FILES if room_of(module) == room]
    assert own

    def faults() -> Iterator[str]:
        for module in own:
            importer = reached(module, EDGES)
            for other in importer:
                if package in packages(other, for_types=False):
                    yield f"{chain(other, importer)}, imports {package}; {room} must do without it."

    assert_none(faults())


def test_only_the_command_line_itself_imports_tasks_cli() -> None:
    assert_none(
        f"{module} imports {other}; only tasks.__main__ may, so move what both need below tasks.cli."
        for module, others in EDGES.items()
        for other in sorted(others)
        if room_of(other) == "tasks.cli" and room_of(module) not in ("tasks.cli", "tasks.__main__")
    )


def test_no_folder_holds_more_than_12_modules() -> None:
    sizes: dict[str, int] = {}
    for module, file in FILES.items():
        if file.name != "__init__.py":
            where = folder(module, FILES)
            sizes[where] = sizes.get(where, 0) + 1
    assert_none(
        f"{where} holds {size} modules; at most {LARGEST_FOLDER} are allowed: join two, or make a folder of some."
        for where, size in sizes.items()
        if size > LARGEST_FOLDER
    )


def test_no_module_is_longer_than_300_lines() -> None:
    assert_none(
        f"{module} has {lines} lines; at most {LONGEST_MODULE} are allowed: split it by its concepts."
        for module, file in FILES.items()
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    )


def test_every_folder_has_one_sentence_on_its_purpose() -> None:
    def faults() -> Iterator[str]:
        for top in FLOORS:
            for where in sorted({file.parent for file in (ROOT / top).rglob("*.py")}):
                name = ".".join(where.relative_to(ROOT).parts)
                opening = where / "__init__.py"
                if name == "app.views":
                    # Streamlit runs the files of this folder; nothing imports them.
                    continue
                if not opening.exists():
                    yield f"{name} has no __init__.py; add one with a sentence that says what the folder is for."
                    continue
                lines = opening.read_text(encoding="utf-8").splitlines()
                sentence = lines[0] if lines else ""
                if not (sentence.startswith('"""') and sentence.endswith('."""')):
                    yield f"{name}/__init__.py begins with no sentence in three quotes that says what it is for."
                if len(lines) > 1 and name not in HANDS_ON:
                    yield f"{name}/__init__.py holds code; move it to a module, and leave the sentence."

    assert_none(faults())
