"""What was announced, and what waits to be sent, in a file of the home that outlasts restarts."""

import json
import logging
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data.private import write_private

# Seconds until the next try, by the number of tries before; then the notice is given up.
PAUSES = (0.0, 10.0, 60.0, 300.0, 1800.0)

log = logging.getLogger(__name__)


@dataclass
class Announced:
    """What was announced of a study; failed: the attempts of its stages by then, which a retry raises."""

    done: bool = False
    failed: int | None = None
    stuck: bool = False


@dataclass
class Letter:
    """A notice that has not reached all services; left: their numbers, None for all. due: in seconds since 1970."""

    title: str
    body: str
    left: list[int] | None = None
    tries: int = 0
    due: float = 0.0


@dataclass
class Outbox:
    """What was announced by study, and letters in their order."""

    announced: dict[str, Announced] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)

    def of(self, study_id: str) -> Announced:
        """Return what was announced of a study."""
        return self.announced.setdefault(study_id, Announced())

    def forget_all_but(self, study_ids: Collection[str]) -> None:
        """Forget studies that are gone."""
        self.announced = {
            study_id: announced for study_id, announced in self.announced.items() if study_id in study_ids
        }

    def save(self, file: Path) -> None:
        """Write the file, which only this account may read; OSError if it cannot be written."""
        write_private(file, json.dumps(asdict(self)))


_OUTBOX = TypeAdapter(Outbox)


def load(file: Path) -> Outbox | None:
    """Return what a file holds; None if there is none, or if it is damaged."""
    try:
        return _OUTBOX.validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("what was announced about studies cannot be read, and counts from now on: %s", type(error).__name__)
        return None
