"""The errors that tell a user what to do differently, as against those of the program."""

from data.artifacts import ArtifactError
from data.backup import BackupError
from data.datasets import DatasetError
from data.queries import UnknownStudy
from data.shares import ShareError
from data.store import StoreError
from engine.study.spec import StudyError
from tasks.rebuild import RebuildError
from tasks.up import UpError

REFUSALS = (
    StudyError,
    DatasetError,
    ArtifactError,
    BackupError,
    StoreError,
    UnknownStudy,
    ShareError,
    RebuildError,
    UpError,
)
