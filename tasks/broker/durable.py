"""Writing the log of a home's Redis through to the disk once a second.

Redis hands each change to the operating system before it answers, so that a killed Redis loses nothing. With
`appendfsync everysec` it would put that off for up to two seconds while the disk is slow, and a kill would lose what it
had acknowledged; with `always` it would end on a full disk. So another process asks for what survives a power cut.
"""

import logging
import threading
from pathlib import Path

from data.atomic import flush
from data.settings import Settings
from tasks.broker.connection import redis_folder

# A power cut loses what was written in these seconds.
SECONDS = 1.0

log = logging.getLogger(__name__)


def write_through(config: Settings, stopping: threading.Event) -> None:
    """Write the log through until `stopping` is set; the Redis of REDIS_URL has settings of its own."""
    if config.redis_url is not None:
        return
    said = ""
    while not stopping.wait(SECONDS):
        problems = []
        for file in _log_files(redis_folder(config.home)):
            try:
                flush(file)
            except FileNotFoundError:
                # Redis has just replaced it.
                continue
            except OSError as error:
                problems.append(str(error))
        # The disk may be full for hours.
        if problems and problems[0] != said:
            log.warning("the log of Redis is not on the disk: %s", problems[0])
        said = problems[0] if problems else ""


def _log_files(folder: Path) -> list[Path]:
    """Return the files of the log: a folder of them from Redis 7, one file before."""
    return [*folder.glob("appendonlydir/*"), *folder.glob("appendonly.aof")]
