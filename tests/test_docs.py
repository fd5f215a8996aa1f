"""The documents name the commands, options and settings of the program, and their links and paths exist."""

import re
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from docs.images.pictures import PICTURES
from engine.paper import citation
from tasks.__main__ import app
from tests.documents.blocks import FOLLOWED, blocks

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DOCUMENTS = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("benchmarks/*.md")]


def test_cli_md_names_every_command_and_option() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    for name, command in commands.commands.items():
        assert re.search(rf"^\| `{name}\b", text, re.MULTILINE), f"docs/cli.md has no row for the command {name}"
        for option in command.params:
            flag = option.opts[0]
            if flag.startswith("--") and not getattr(option, "hidden", False):
                row = rf"^\| `{flag}\b.*\| [^|]*`{name}`[^|]* \|"
                assert re.search(row, text, re.MULTILINE), f"docs/cli.md has no row for {flag} of {name}"


def test_cli_md_names_no_option_that_does_not_exist() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    for flag, names in re.findall(r"^\| `(--[a-z-]+).*?\| ((?:`[a-z]+`(?:, )?)+) \|", text, re.MULTILINE):
        for name in re.findall(r"`([a-z]+)`", names):
            assert flag in [option.opts[0] for option in commands.commands[name].params], f"{name} has no {flag}"


def test_documents_show_only_commands_and_options_that_exist() -> None:
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    shown = [
        (f"{document.name}:{line}", command)
        for document in FOLLOWED
        for block in blocks(document)
        if block.language == "sh"
        for line, command in block.commands()
        if command.startswith("ticketscope ") and "COMMAND" not in command
    ]
    assert len(shown) > 10
    for place, command in shown:
        name = command.split()[1]
        assert name in commands.commands, f"{place}: there is no command {name}"
        flags = {flag for option in commands.commands[name].params for flag in option.opts}
        for flag in re.findall(r" \[?(--[a-z-]+)", command.partition(" # ")[0]):
            assert flag in flags, f"{place}: {name} has no {flag}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_existing_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}, which is not there"


def test_the_changelog_begins_with_this_version() -> None:
    version = citation.VERSION
    sections = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = [section for section in sections if section != "Unreleased"]
    # What is not released yet may come before.
    assert released in (sections, sections[1:])
    assert re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", released[0])


def test_the_picture_of_the_architecture_matches_its_source() -> None:
    source = DOCS / "images" / "architecture.py"
    spec = spec_from_file_location("architecture", source)
    assert spec is not None
    assert spec.loader is not None
    architecture = module_from_spec(spec)
    # A dataclass looks up its own module in sys.modules.
    sys.modules["architecture"] = architecture
    spec.loader.exec_module(architecture)
    picture = architecture.draw(architecture.SOURCE.read_text(encoding="utf-8"))
    assert picture == architecture.TARGET.read_text(encoding="utf-8"), "run: python docs/images/architecture.py"


def test_every_picture_is_made_by_the_command_and_shown_in_both_schemes() -> None:
    shown = [
        (document.parent / target).resolve()
        for document in DOCUMENTS
        for target in re.findall(r'(?:src|srcset)="([^"]+)"', document.read_text(encoding="utf-8"))
    ]
    made = [DOCS / "images" / f"{name}{scheme}.png" for name in PICTURES for scheme in ("", "-dark")]
    assert sorted(shown) == sorted(made) == sorted((DOCS / "images").glob("*.png"))


def test_every_room_of_the_picture_is_a_folder() -> None:
    picture = tomllib.loads((DOCS / "images" / "architecture.toml").read_text(encoding="utf-8"))
    for floor in picture["floor"]:
        for name in (name for room in floor["rooms"] for name in room["names"]):
            assert (ROOT / floor["name"] / name / "__init__.py").exists(), f"{floor['name']}/{name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_documents_exist(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for path in re.findall(r"`((?:engine|data|tasks|app|tests|studies|docs)/[a-z0-9_/.]+)`", text):
        assert (ROOT / path).exists(), f"{document.name} names {path}, which is not there"
