"""Plugins in a process of their own, for processes that do without PyTorch: `python -m data.plugins.apart`.

Without arguments it prints all plugins as JSON; with arguments, the anatomy of a network (`engine.models.inspection`).
"""

import json
import logging
import os
import subprocess
import sys

from data.plugins.loading import are_named, load, sentences
from data.settings import Settings, settings
from data.settings_file import CHECKOUT

# Importing PyTorch takes seconds, on a busy machine many.
SECONDS = 60.0

log = logging.getLogger(__name__)


def command(config: Settings, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command of this module with arguments, and its environment; it runs in the folder CHECKOUT."""
    environment = {**os.environ, "TICKETSCOPE_PLUGINS": config.plugins}
    return [sys.executable, "-m", "data.plugins.apart", *arguments], environment


def faults(config: Settings) -> list[str]:
    """Return a sentence on each plugin that another process cannot load."""
    if not are_named(config):
        return []
    run, environment = command(config)
    try:
        done = subprocess.run(
            run, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=True
        )
        values = json.loads(done.stdout.rstrip().rpartition("\n")[2])
        return [str(sentence) for sentence in values]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        log.debug("", exc_info=True)
        return [f"the plugins cannot be looked at: {error}; run `ticketscope plugins`"]


def main() -> None:
    """Load the plugins, and print what the arguments ask for."""
    logging.disable(logging.WARNING)
    plugins = load(settings())
    if len(sys.argv) > 1:
        from engine.models import inspection

        inspection.main()
    else:
        print(f"\n{json.dumps(sentences(plugins))}")


if __name__ == "__main__":
    main()
