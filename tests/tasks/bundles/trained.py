"""A tiny study trained for real, without a queue: its weights in one folder, its results in a database beside them."""

from pathlib import Path

import torch

from data.artifacts.store import Artifacts
from data.database.database import Database
from data.datasets.loading import load_images
from engine.stages.runner import run_stage
from engine.study.plan import Plan
from engine.study.results import Epoch, StageResult
from tests.data.made_results import Stream


class Silent:
    """An observer to whom nothing matters."""

    def epoch(self, row: Epoch, total: int) -> bool:
        del row, total
        return True

    def commit(self, rows: object) -> None:
        del rows


def train(planned: Plan, home: Path, study_id: str = "there") -> tuple[Database, Artifacts]:
    """Train all stages of a plan on digits, and return the database and the artifact store below a folder."""
    database, artifacts = Database(home / "ticketscope.duckdb"), Artifacts(str(home / "artifacts"))
    stream = Stream()
    events = [stream.launched(planned, study_id)]
    for fingerprint, stage in planned.stages.items():
        result: StageResult = run_stage(
            stage, load_images(stage.images, home), artifacts, torch.device("cpu"), Silent()
        )
        artifacts.finish(fingerprint, result)
        events += stream.life(result)
    database.ensure()
    database.record(events)
    return database, artifacts
