"""The files of a bundle: their names, their limits, and the manifest that lists them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from data.artifacts.result_schema import Moment, Text, Whole
from data.parquet import SCHEMAS
from engine.errors import UserError
from engine.formatting import can_be_seen
from engine.study.fields import UNSEEN
from engine.study.toml_limits import BYTES

# A bundle of a later format is refused; one of an earlier format must be read.
FORMAT = 1
MANIFEST, STUDY, LAUNCH = "manifest.json", "study.toml", "launch.json"
# The weights that stages save; see `engine.stages.weights`. Checkpoints stay where they are.
WEIGHTS = ("initial", "rewind", "trained", "mask", "movement")

MB = 2**20
LAB_CHARACTERS = 80
# The largest study has 20,000 trainings, each with a result and up to four files of weights.
MOST_MEMBERS = 110_000
# The list of members at the end of the file, and the manifest, take some 200 bytes for each.
DIRECTORY_BYTES = MANIFEST_BYTES = 32 * MB
# Results and tables shrink to a tenth when they are compressed; nothing but an attack shrinks to a hundredth.
RATIO = 100


# Called with the number of results that are done and the number of all.
Progress = Callable[[int, int], object]


def silent(done: int, total: int) -> None:
    """Report no progress."""
    del done, total


class BundleError(UserError):
    """A file is no bundle, is damaged, or holds what this installation cannot use."""


@dataclass(frozen=True)
class Kind:
    """A kind of member: the pattern of its name, its largest size in bytes, and whether it may be compressed."""

    name: re.Pattern[str]
    most: int
    compressed: bool = True


_FINGERPRINT = "(?P<fingerprint>[0-9a-f]{32})"
KINDS = {
    "manifest": Kind(re.compile(re.escape(MANIFEST)), MANIFEST_BYTES),
    "study": Kind(re.compile(re.escape(STUDY)), BYTES),
    "launch": Kind(re.compile(re.escape(LAUNCH)), 64 * MB),
    # The counts of a network of a hundred layers and the rows of 10,000 epochs take 2 MB.
    "result": Kind(re.compile(rf"results/{_FINGERPRINT}\.json"), 16 * MB),
    "table": Kind(re.compile(rf"tables/(?:{'|'.join(SCHEMAS)})\.parquet"), 1024 * MB),
    "weights": Kind(
        re.compile(rf"weights/{_FINGERPRINT}/(?P<weights>{'|'.join(WEIGHTS)})\.safetensors"), 2048 * MB, False
    ),
}


def kind_of(name: str) -> tuple[str, re.Match[str]] | None:
    """Return the kind of a member and the match of its name; None for a name that no bundle has."""
    for kind, about in KINDS.items():
        if match := about.name.fullmatch(name):
            return kind, match
    return None


def checked_lab(lab: str) -> str:
    """Return the name of a lab; ValueError for one that is too long, or has characters that cannot be seen."""
    lab = lab.strip()
    if len(lab) > LAB_CHARACTERS:
        raise ValueError(f"the name of a lab has at most {LAB_CHARACTERS} characters, given {len(lab)}")
    if unseen := UNSEEN.search(lab):
        raise ValueError(f"the name {lab!a} contains the invisible character {unseen[0]!a}; leave it out")
    if lab and not can_be_seen(lab):
        raise ValueError(f"the name {lab!a} shows nothing; give one with letters or digits, or none")
    return lab


class Member(BaseModel):
    """A file of the bundle: its bytes, and the SHA-256 of its content."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    size: Whole
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What a bundle says of itself.

    ticketscope: the version that wrote it. engine: the version of the engine in its fingerprints. lab: "" where its
    exporter gave no name. members: every other file by its name.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal[1]
    ticketscope: Text
    engine: Annotated[int, Field(ge=1, le=10**6)]
    lab: Annotated[Text, AfterValidator(checked_lab)] = ""
    exported_at: Moment
    study_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
    members: dict[str, Member]
