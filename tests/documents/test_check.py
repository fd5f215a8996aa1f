"""`make docs-check` finds what does not work in a document, and says why it did not try something."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.blocks import FOLLOWED, ROOT, blocks
from tests.documents.check import CHECKS, main, outcomes
from tests.documents.world import World

DOCUMENT = """\
# A document

    ticketscope --version
    make test      # all of it

Text between them, then a command in two lines that does not work:

    ticketscope plan \\
        nowhere.toml

As root:

    sudo useradd ticketscope

A picture:

    a picture
      of something

```toml
name = "Small"
datasets = ["digits"]
networks = ["lenet300"]
```

```toml
[auth]
redirect_uri =
```

```sh
curl http://localhost
```

```toml
workers = 2
device = "abacus"
```

    15 3 * * *  ticketscope  cd /opt && (ls
"""
NGINX = "```nginx\nserver {{\n    listen 127.0.0.1:8443 ssl;\n    ssl_certificate /a.pem;\n{}}}\n```\n"
UNIT = "```ini\n[Service]\nUser=nobody-here\nExecStart=/opt/ticketscope/.venv/bin/ticketscope worker\n{}\n```\n"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def judged(text: str, world: World, folder: Path) -> list[tuple[str, str, str]]:
    document = folder / "document.md"
    document.write_text(text, encoding="utf-8")
    return [(outcome.place, outcome.verdict, outcome.note) for outcome in outcomes([document], world)]


def test_each_command_and_block_is_ok_failed_or_skipped_with_a_reason(world: World, tmp_path: Path) -> None:
    found = judged(DOCUMENT, world, tmp_path)
    assert [(place.partition(":")[2], verdict) for place, verdict, _ in found] == [
        ("3", "ok"),
        ("4", "skipped"),
        ("8", "failed"),
        ("13", "skipped"),
        ("21", "ok"),
        ("27", "failed"),
        ("32", "skipped"),
        ("36", "failed"),
        ("40", "failed"),
    ]
    assert "device 'abacus'" in found[7][2]
    notes = [note for _, _, note in found]
    assert "no study file at nowhere.toml" in notes[2]
    assert "sets up a machine" in notes[3]
    assert "no rule says how to run this program" in notes[6]
    assert not list(world.work.glob("home")), "nothing here needs the services"


def test_the_exit_status_is_1_where_something_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("    make test\n")
    bad.write_text("```toml\n=\n```\n")
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 ok, 1 failed, 1 skipped"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (NGINX.format("    ssl_certificate_key /a.key;\n"), "ok"),
        (NGINX.format("    ssl_certificate_key /a.key;\n    no_such_directive on;\n"), "failed"),
        (UNIT.format("Restart=always"), "ok"),
        (UNIT.format("Restart=whenever-it-likes"), "failed"),
    ],
)
def test_configuration_is_read_by_the_program_that_it_is_for(
    text: str, verdict: str, world: World, tmp_path: Path
) -> None:
    [(_, found, note)] = judged(text, world, tmp_path)
    assert found == verdict or (found == "skipped" and "installed" in note), note


def test_placeholders_are_filled_in_and_what_is_optional_is_given(world: World) -> None:
    filled = world.filled("ticketscope backup [--out FILE]   # a copy")
    assert filled == f"ticketscope backup --out {world.folder / 'backup.duckdb'}"
    assert world.filled("ticketscope reclaim [--older HOURS]") == "ticketscope reclaim --older 1"
    each = world.filled("ticketscope COMMAND --help")
    assert re.fullmatch(r"for command in .*\bplan\b.*; do ticketscope \$command --help \|\| exit 1; done", each)


def test_every_language_of_a_fence_has_a_check() -> None:
    for document in FOLLOWED:
        for block in blocks(document):
            fence = document.read_text(encoding="utf-8").splitlines()[block.line - 2].strip()
            if fence.startswith("```"):
                assert block.language in CHECKS, f"{block.place}: {block.language!r} has no entry in CHECKS"


def test_code_blocks_of_the_readme_are_found() -> None:
    found = {block.language for block in blocks(ROOT / "README.md")}
    assert {"sh", "python"} <= found
