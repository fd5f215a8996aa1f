from pathlib import Path

import pytest

from benchmarks import full_database, made_results
from benchmarks.fixtures import planned
from data.database.database import Database
from data.queries import points, studies
from data.queries.selection import OneStudy
from engine.counts import P_GRID
from engine.study.spec import Study

LAYERS = {"resnet20": 19, "vgg11": 8, "mobilenet_v2": 52}


def small(study: Study) -> Study:
    """Return a study with fewer sparsities, seeds and learning rates."""
    changes = {"sparsities": (0.15, 0.5, 0.803), "seeds": (0,), "learning_rates": study.learning_rates[:2]}
    parts = [
        part.model_copy(update={"sparsities": tuple(s for s in part.sparsities or () if s in changes["sparsities"])})
        for part in study.parts
    ]
    return study.model_copy(update={**changes, "parts": tuple(parts)})


def written(folder: Path, seed: int = 0) -> tuple[Database, dict[str, Study]]:
    database = Database(folder / "ticketscope.duckdb")
    smaller = {study_id: small(study) for study_id, study in full_database.studies(5000, 4).items()}
    for _ in full_database.write(database, smaller, seed):
        pass
    return database, smaller


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, dict[str, Study]]:
    return written(tmp_path_factory.mktemp("full"))


def test_the_full_database_contains_at_least_the_requested_trainings() -> None:
    finished = [
        study for study_id, study in full_database.studies(5000, 150).items() if study_id != full_database.TRAINING
    ]
    stages = {f: stage for study in finished for f, stage in planned(study).stages.items()}
    assert sum(stage.epochs == 150 for stage in stages.values()) >= 5000


def test_every_stage_of_a_finished_study_is_done_and_has_its_epochs(full: tuple[Database, dict[str, Study]]) -> None:
    database, recorded = full
    for study_id in full_database.FINISHED:
        stages = planned(recorded[study_id]).stages
        rows = studies.stages(database, study_id)
        assert set(rows["fingerprint"]) == set(stages)
        assert (rows["state"] == "done").all()
        assert (rows["epoch"] == rows["epochs"]).all()
        assert points.accuracy(database, OneStudy(study_id))["test_accuracy"].between(20, 100).all()
    assert studies.studies(database).set_index("study_id")["state"].to_dict() == {
        "full-paper": "done",
        "full-sweep": "done",
        "full-training": "running",
    }


def test_overlaps_cover_every_layer_and_p(full: tuple[Database, dict[str, Study]]) -> None:
    database, _ = full
    with database.reading() as connection:
        rows = connection.execute(
            """
            SELECT network, pair, count(DISTINCT layer), count(DISTINCT p), bool_and(intersection BETWEEN 0 AND top)
            FROM overlap_counts JOIN stages USING (fingerprint) GROUP BY ALL
            """
        ).fetchall()
    assert {(network, layers) for network, _, layers, _, _ in rows} == set(LAYERS.items())
    assert {pair for _, pair, *_ in rows} == {
        "initial_pretrained", "ticket_finetuned", "reinit_finetuned", "finetuned_initial", "finetuned_pretrained"
    }  # fmt: skip
    assert all(ps == len(P_GRID) for _, pair, _, ps, _ in rows if not pair.startswith("finetuned_"))
    assert all(within for *_, within in rows)


def test_retention_falls_while_a_network_trains(full: tuple[Database, dict[str, Study]]) -> None:
    database, _ = full
    with database.reading() as connection:
        shares = connection.execute(
            """
            SELECT arg_min(intersection / top, epoch), arg_max(intersection / top, epoch) FROM retention
            WHERE p = 0.2 GROUP BY fingerprint
            """
        ).fetchall()
    assert shares
    assert all(first > last for first, last in shares)


def test_the_same_seed_gives_the_same_rows(full: tuple[Database, dict[str, Study]], tmp_path: Path) -> None:
    stage = next(iter(planned(full[1]["full-sweep"]).stages.values()))
    assert made_results.result(stage, 0) == made_results.result(stage, 0)
    assert made_results.result(stage, 0) != made_results.result(stage, 1)
    second, _ = written(tmp_path)
    for table in ("results", "epochs", "overlap_counts", "retention", "states"):
        hashes = []
        for database in (full[0], second):
            with database.reading() as connection:
                hashes.append(connection.execute(f"SELECT hash(list(t ORDER BY t)) FROM {table} AS t").fetchall())
        assert hashes[0] == hashes[1], table
