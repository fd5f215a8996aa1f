"""The command line: ticketscope COMMAND, or python -m tasks COMMAND."""

import sys
from importlib.util import find_spec

if find_spec("typer") is None:
    sys.exit(
        f"error: {sys.executable} has no Ticketscope installed. `make up` installs it in .venv: run "
        "`. .venv/bin/activate` first, or .venv/bin/ticketscope in place of this command"
    )

# Modules that need PyTorch, DuckDB or Celery are imported inside the commands that use them, since that takes seconds,
# and --help, a wrong option or a port in use should be answered at once.

import logging
from typing import Annotated

import typer
from rich.markup import escape

from data.os_errors import explained
from data.settings import SettingsError, settings
from engine.errors import UserError
from engine.paper import citation
from tasks.accounts import become_owner
from tasks.broker.connection import errors_explained
from tasks.cli import bundles, maintenance, plugins, services, sharing, studies, weights
from tasks.cli.console import err, write_to_any_terminal
from tasks.process import end_with_parent

log = logging.getLogger(__name__)

app = typer.Typer(
    name="ticketscope",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for part in (services, studies, sharing, bundles, weights, maintenance, plugins):
    app.add_typer(part.commands)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ticketscope {citation.VERSION}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Ticketscope: launch lottery-ticket studies and see whether a winning ticket is real."""
    del version
    if "--help" in sys.argv:
        return
    try:
        name = become_owner(settings())
    except SettingsError:
        # A command that needs settings says what is wrong with them; `password` needs none.
        return
    if name is not None:
        text = f"runs as {name}, who owns {settings().home}; files that it reads or writes must be open to {name}"
        err.print(escape(text), soft_wrap=True, highlight=False)
    # A plugin's code runs as the owner, too.
    plugins.load_for(str(context.invoked_subcommand))


def main() -> None:
    """Run a command; print a UserError on stderr without a traceback, with exit code 2."""
    write_to_any_terminal()
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        # Redis may stop while a command waits.
        with errors_explained():
            app(prog_name="ticketscope")
    except UserError as error:
        if warnings := getattr(error, "warnings", ()):
            from tasks.cli.tables import say_warnings

            say_warnings(err, warnings)
        err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2)
    except OSError as error:
        log.debug("", exc_info=True)
        at_home = str(error.filename or "").startswith(str(settings().home))
        # An error of a write names no file; what commands write to is the home, or is named.
        sentence = explained(error, settings().home)
        text = f"TICKETSCOPE_HOME: {sentence}" if at_home else sentence
        err.print(f"[red]error:[/red] {escape(text)}", soft_wrap=True, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
