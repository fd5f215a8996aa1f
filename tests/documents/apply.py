"""Following docs/extending.md: the code of its blocks is put where they say, into a copy of the checkout."""

import ast
import re
import shutil
from pathlib import Path

from tests.documents.blocks import ROOT, Block, blocks

EXTENDING = ROOT / "docs" / "extending.md"
# Its first line names the file that a block belongs to.
_FILE = re.compile(r"# ((?:engine|data|tasks|app)/[a-z0-9_/]+\.py)\b.*\n")
# A table that keeps its entries: NAME = {..., "key": value} or NAME = (..., value).
_TABLE = re.compile(r"(\w+) = [{(]\s*\.\.\.,\s*(.*?),?\s*[})]\n", re.DOTALL)


def copy_of_checkout(to: Path) -> Path:
    """Copy the checkout without what is installed or made in it, and return the copy."""
    left_out = shutil.ignore_patterns(".git", ".venv", "var", "build", "*.egg-info", "__pycache__", ".*_cache")
    return Path(shutil.copytree(ROOT, to, ignore=left_out))


def code_blocks(document: Path = EXTENDING) -> list[tuple[str, str, Block]]:
    """Return file, code and block of each Python block that names its file."""
    return [
        (file[1], block.text[file.end() :], block)
        for block in blocks(document)
        if block.language == "python" and (file := _FILE.match(block.text))
    ]


def apply(code: str, file: Path) -> None:
    """Put a block's code into a file: entries into their table, anything else at the end, or as a new file."""
    if table := _TABLE.fullmatch(code):
        source = file.read_text(encoding="utf-8")
        file.write_text(_with_entry(source, table[1], table[2]), encoding="utf-8")
    elif file.exists():
        file.write_text(f"{file.read_text(encoding='utf-8').rstrip()}\n\n\n{code}", encoding="utf-8")
    else:
        file.write_text(code, encoding="utf-8")


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
