"""docs/extending.md shows the files of docs/examples as they are, and its blocks for the source apply."""

import ast
import re
import sys
from pathlib import Path

import pytest

from engine.claims import catalog
from tests.documents.apply import EXTENDING, applied, code_blocks
from tests.documents.blocks import ROOT, blocks
from tests.plugged import EXAMPLES

IN_SOURCE = [(file, code) for file, code, _ in code_blocks() if not file.startswith("docs/")]


def test_the_page_shows_every_example_as_it_is() -> None:
    shown = {file: code for file, code, _ in code_blocks() if file.startswith("docs/")}
    files = {str(file.relative_to(ROOT)): file.read_text() for file in EXAMPLES.glob("*.py") if file.stem != "__init__"}
    assert shown == files


def test_the_commands_of_the_page_name_files_that_exist() -> None:
    commands = "\n".join(block.text for block in blocks(EXTENDING) if block.language == "sh")
    named = re.findall(r"docs/examples[\w/.]*", commands)
    assert {"docs/examples/lenet5.py", "docs/examples/lenet5.toml", "docs/examples"} <= set(named)
    assert all((ROOT / name).exists() for name in named)


def test_modules_and_tables_that_the_page_names_exist() -> None:
    text = EXTENDING.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:engine|data|tasks|app|tests)/[\w/.]+)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for table, file in re.findall(r"`([A-Z]+)` (?:of|in) `([\w/]+\.py)`", text):
        assert re.search(rf"^{table}\b", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {table}"


def test_the_blocks_for_the_source_apply_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {file for file, _ in IN_SOURCE} == {"engine/claims/accuracy.py", "engine/claims/catalog.py"}
    changed = {}
    for file, code in IN_SOURCE:
        changed[file] = applied(code, (ROOT / file).read_text())
        ast.parse(changed[file])
    # The modules run, one on top of the other, without the files being touched.
    for file, source in changed.items():
        name = Path(file).with_suffix("").as_posix().replace("/", ".")
        module = type(sys)(name)
        module.__dict__["__file__"] = str(ROOT / file)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(sys.modules["engine.claims"], name.rpartition(".")[2], module)
        exec(compile(source, file, "exec"), module.__dict__)
        if hasattr(module, "CLAIMS"):
            assert module.CLAIMS.keys() - catalog.CLAIMS.keys() == {"R1"}
