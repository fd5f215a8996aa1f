"""The code blocks of docs/extending.md: each names the file that it is, or the one in the source that it belongs to."""

import ast
import re
from pathlib import Path

from tests.documents.blocks import ROOT, Block, blocks

EXTENDING = ROOT / "docs" / "extending.md"
# The first line of a block names its file.
_FILE = re.compile(r"# ((?:engine|data|tasks|app|docs)/[a-z0-9_/]+\.py)\b.*\n")
# A table that keeps its entries: NAME = {..., "key": value} or NAME = (..., value).
_TABLE = re.compile(r"(\w+) = [{(]\s*\.\.\.,\s*(.*?),?\s*[})]\n", re.DOTALL)


def code_blocks(document: Path = EXTENDING) -> list[tuple[str, str, Block]]:
    """Return file, code and block of each Python block that names its file."""
    return [
        (file[1], block.text[file.end() :], block)
        for block in blocks(document)
        if block.language == "python" and (file := _FILE.match(block.text))
    ]


def applied(code: str, source: str) -> str:
    """Return a module's source with a block's code: entries in their table, anything else at the end."""
    if table := _TABLE.fullmatch(code):
        return _with_entry(source, table[1], table[2])
    return f"{source.rstrip()}\n\n\n{code}"


def _with_entry(source: str, name: str, entry: str) -> str:
    """Return a module's source with an entry at the end of one of its tables."""
    for statement in ast.parse(source).body:
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            lines = source.splitlines(keepends=True)
            assert statement.end_lineno is not None
            # The last line of a table is its closing bracket.
            lines.insert(statement.end_lineno - 1, f"    {entry},\n")
            return "".join(lines)
    raise AssertionError(f"there is no table {name}")
