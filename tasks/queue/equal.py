"""Studies that are launched twice within a short time, as by two clicks: Redis decides which launch was the first."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from engine.errors import UserError
from tasks.queue.scripts import run
from tasks.units import plural

# Seconds within which two launches of equal studies are taken for one.
WITHIN = 60.0


class LaunchedBefore(UserError):
    """An equal study was launched a short time ago; seconds: how long ago, by the clock of Redis alone."""

    def __init__(self, study_id: str, seconds: float) -> None:
        super().__init__(f"an equal study was launched {plural(max(1, round(seconds)), 'second')} ago, as {study_id}")
        self.study_id = study_id
        self.seconds = seconds


@dataclass(frozen=True)
class Content:
    """What two equal launches have in common, as a hash; again: launch all the same."""

    digest: str
    again: bool = False

    @property
    def arguments(self) -> tuple[str, int, str]:
        """The arguments of the script `register.lua`."""
        return self.digest, round(1000 * WITHIN), "again" if self.again else ""


def content(launched: Mapping[str, Any], again: bool = False) -> Content:
    """Return the content of a launch, its name included; launched: the body of its event."""
    # The stages know the content of the images, which the study names only.
    stages = [stage["fingerprint"] for stage in launched["stages"]]
    text = json.dumps([launched["toml"], stages])
    return Content(hashlib.sha256(text.encode()).hexdigest(), again)


def refuse(answer: Any) -> None:
    """Raise LaunchedBefore if a script answered with an earlier launch."""
    if answer and answer[0] == "equal":
        raise LaunchedBefore(str(answer[1]), int(answer[2]) / 1000)


def refuse_before(redis: Redis, launch: Content) -> None:
    """Raise LaunchedBefore if a study with this content was just launched, unless it is launched again on purpose."""
    if not launch.again:
        refuse(run(redis, "equal", *launch.arguments))
