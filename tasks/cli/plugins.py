"""The commands plugins and fetch, and loading the plugins for those commands that name what plugins add."""

# Modules that are slow to import are imported in the commands that need them; see tasks/__main__.py.

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from data.settings import settings
from tasks.cli.console import err, out, warn
from tasks.units import plural

commands = typer.Typer()

# These commands name networks, pruners, starts and datasets; only they wait until the plugins are imported.
_NAMING = ("plan", "launch", "run", "retry", "verdicts", "export", "fetch")
# The processes that these start load the plugins; they themselves do without PyTorch, which plugins may import.
_STARTING = ("up", "worker")


def load_for(command: str) -> None:
    """Load the plugins if a command needs them, and warn of those that fail."""
    faults: list[str] = []
    if command in _NAMING:
        from data.plugins import loading

        faults = loading.sentences(loading.load(settings()))
    elif command in _STARTING:
        from data.plugins import apart

        faults = apart.faults(settings())
    for sentence in faults:
        warn(sentence)


@commands.command()
def plugins() -> None:
    """Load your own networks, pruners, starts and datasets, and list them with their files and code."""
    from data.plugins.loading import load

    found = load(settings())
    for plugin in found:
        out.print(f"[bold]{escape(plugin.name)}[/bold]  {escape(plugin.file)}", soft_wrap=True, highlight=False)
        if plugin.error:
            out.print(f"  [red]not loaded:[/red] {escape(plugin.fault)}", soft_wrap=True, highlight=False)
        for entry in plugin.added:
            line = f"  {entry.kind:8}  {entry.name}  {entry.identity}".rstrip()
            out.print(escape(line), soft_wrap=True, highlight=False)
        if not plugin.error and not plugin.added:
            out.print("  adds nothing")
    if not found:
        out.print("no plugins: name files or modules in TICKETSCOPE_PLUGINS; docs/extending.md says how to write one")
    if any(plugin.error for plugin in found):
        raise typer.Exit(1)


@commands.command()
def fetch(
    datasets: Annotated[list[str], typer.Argument(metavar="DATASET...", help="Such as svhn, or hf:ylecun/mnist.")],
) -> None:
    """Download datasets to this machine now, and say their images and hash; a study would when it needs them."""
    for name in datasets:
        fetch_one(name, out)


def fetch_one(name: str, console: Console) -> None:
    """Download a dataset with a bar on stderr, and print its size and hash."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from data.datasets.loading import load
    from data.datasets.registry import identity

    home = settings().home
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        bar = bars.add_task(f"dataset {escape(name)}", total=None)
        dataset = load(
            name,
            home,
            lambda what, done, total: bars.update(bar, description=escape(what), completed=done, total=total or None),
        )
    size = dataset.image_size
    images = f"{len(dataset.train_labels):,} images to train on and {len(dataset.test_labels):,} to test on"
    classes = plural(len(dataset.classes), "class", "classes")
    shape = f"{size} x {size} pixels, {plural(dataset.channels, 'channel')}, {classes}"
    console.print(f"{escape(name)}: {images}, {shape}, content {identity(name, home)}", soft_wrap=True, highlight=False)
