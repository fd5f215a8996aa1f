"""The commands that bring studies from elsewhere: import, join."""

# Modules that are slow to import are imported in the commands that need them; see tasks/__main__.py.

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from data.settings import Settings, settings
from engine.errors import UserError
from tasks.cli.console import begin, err, out, recorded, served

if TYPE_CHECKING:
    from tasks.bundles.importing import Imported

commands = typer.Typer()

Name = Annotated[
    str, typer.Option(metavar="NAME", help="Name of the joined study [that of the first, with its seeds].")
]


@commands.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Bundles that export --bundle wrote.")],
    join: Annotated[
        bool, typer.Option("--join", help="Then join their studies into one, which has the seeds of all.")
    ] = False,
    name: Name = "",
) -> None:
    """Import studies with their results from bundles; nothing is trained. A faulty file changes nothing."""
    from data.bundles.format import BundleError
    from tasks.bundles import words

    if name and not join:
        raise BundleError("--name is for the joined study; give --join too")
    if join and len(files) < 2:
        raise BundleError("--join takes two files or more; to join a study that is here already: ticketscope join")
    config = begin()
    imported: list[Imported] = []
    faults = 0
    with served(config):
        for file in files:
            try:
                done = _import(config, file)
            except UserError as error:
                if len(files) == 1:
                    raise
                err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True, highlight=False)
                faults += 1
                continue
            imported.append(done)
            for line in words.imported(done):
                out.print(escape(line), soft_wrap=True, highlight=False)
        if faults:
            joined = ", and nothing was joined" if join else ""
            err.print(f"{faults} of {len(files)} files were not imported{joined}")
            raise typer.Exit(2)
        if join:
            _join(config, [done.study_id for done in imported], name)


def _import(config: Settings, path: Path) -> "Imported":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from data.bundles.format import BundleError
    from tasks.bundles.importing import import_bundle

    # Reading a pipe or a device might never end.
    if not path.is_file():
        wrong = f"{path} is no file" if path.exists() else f"there is no file {path}"
        raise BundleError(f"{wrong}; give one that ticketscope export STUDY_ID --bundle FILE wrote")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with path.open("rb") as file, Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task(escape(path.name), total=None)
        return import_bundle(config, file, str(path), lambda done, total: bars.update(bar, completed=done, total=total))


@commands.command()
def join(
    study_ids: Annotated[list[str], typer.Argument(metavar="STUDY_ID...", help="Two studies or more.")],
    name: Name = "",
) -> None:
    """Join studies that are equal but for their seeds into one with all of them; nothing is trained again."""
    from data.queries import studies

    with recorded() as database:
        _join(settings(), [studies.find_study(database, study_id) for study_id in study_ids], name)


def _join(config: Settings, study_ids: list[str], name: str) -> None:
    from tasks.bundles import words
    from tasks.bundles.joining import join as join_studies

    out.print(escape(words.joined(join_studies(config, study_ids, name))), soft_wrap=True, highlight=False)
