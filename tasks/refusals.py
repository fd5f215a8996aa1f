"""The errors that tell a user what to do differently, as against those of the program."""

from data.artifacts.store import ArtifactError
from data.database.backup import BackupError
from data.database.database import DatabaseError
from data.datasets.registry import DatasetError
from data.queries.studies import UnknownStudy
from data.shared_links import ShareError
from engine.study.spec import StudyError
from tasks.services.up import UpError
from tasks.studies.rebuild import RebuildError

REFUSALS = (
    StudyError,
    DatasetError,
    ArtifactError,
    BackupError,
    DatabaseError,
    UnknownStudy,
    ShareError,
    RebuildError,
    UpError,
)
