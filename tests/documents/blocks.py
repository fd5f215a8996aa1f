"""The code blocks of a document: fenced ones, and those indented by four spaces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Users and operators follow these, from top to bottom.
FOLLOWED = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

# These words begin a command; a leading assignment such as REDIS_URL=... belongs to it.
_PROGRAMS = (
    r"make|ticketscope|python3?|pip|git|docker|curl|openssl|aws|ssh|scp|rsync|nginx|redis-cli|valkey-cli|sudo|apt|apt-get|"
    r"systemctl|install|mkdir|cp|mv|ln|rm|chown|chmod|useradd|adduser|groupadd|usermod|restorecon|tar"
)
_COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ +)*(?:{_PROGRAMS}|\.|(?:\S*/)?\.venv/bin/\S+)(?: |$)")
_CRON = re.compile(r"(?:[\d*/,-]+ +){5}\S+ +\S")


@dataclass(frozen=True)
class Block:
    """A block of a document.

    line: of its first line of text, from 1. language: what its fence names; of an indented block "sh" if every line is
    a command, "cron" if every line is of a crontab with users, else "".
    """

    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """The document and line, such as README.md:36."""
        return f"{self.document.name}:{self.line}"

    def commands(self) -> list[tuple[int, str]]:
        """Return the commands of a shell block with their lines; a backslash at the end continues a line."""
        commands: list[tuple[int, str]] = []
        continued = False
        for number, text in enumerate(self.text.splitlines(), start=self.line):
            if continued:
                first, before = commands.pop()
                commands.append((first, f"{before}\n{text}"))
            elif text.strip() and not text.lstrip().startswith("#"):
                commands.append((number, text))
            continued = text.endswith("\\")
        return commands


def blocks(document: Path) -> list[Block]:
    """Return the blocks of a document in order."""
    return list(_blocks(document, document.read_text(encoding="utf-8").splitlines()))


def _blocks(document: Path, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        if fence := re.fullmatch(r"( *)```(\w*)", lines[number]):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == "```")
            inside = [line.removeprefix(fence[1]) for line in lines[number + 1 : end]]
            yield Block(document, number + 2, fence[2], "\n".join(inside) + "\n")
            number = end + 1
        elif lines[number].startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            inside = [line[4:] for line in lines[number:end]]
            text = "\n".join(inside).rstrip() + "\n"
            yield Block(document, number + 1, _language(text), text)
            number = end
        else:
            number += 1


def _language(text: str) -> str:
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    for language, line_of in (("sh", _COMMAND), ("cron", _CRON)):
        if all(line_of.match(line) for line in lines):
            return language
    return ""
