"""Preview and plan of a study before anything runs."""

from pathlib import Path

import pytest

from data.database.database import Database
from data.database.events import Event
from data.datasets.source import DatasetError
from data.settings import settings
from engine.paper.studies import study
from engine.study.plan import plan
from engine.study.results import Epoch, StageResult
from engine.study.spec import StudyError, to_toml
from tasks.studies import planning
from tasks.studies.planning import design_warnings, long_preview, plan_study, preview
from tasks.worker.devices import SLOW_BF16, devices, precision
from tests.machine import endless_study, tiny_study


def test_a_preview_starts_no_redis_and_creates_no_database(home: Path) -> None:
    outline = preview(tiny_study())
    assert (outline.trainings, outline.reused, outline.remaining) == (7, 0, 7)
    assert outline.by_kind == {"pretrain": 1, "retrain": 6}
    assert outline.workers >= 1
    assert not (home / "redis" / "redis.sock").exists()
    assert not settings().database.exists()


def test_measured_speeds_replace_the_guess(home: Path) -> None:
    study = tiny_study()
    planned = plan_study(study, home)
    [(root, stage)] = [(f, s) for f, s in planned.stages.items() if s.kind == "pretrain"]
    guess = preview(study).estimated_seconds
    database = Database(settings().database)
    epochs = tuple(Epoch(n, 0.1, 1.0, 1.0, 1.0, 1.0, 5.0) for n in range(1, 5))
    result = StageResult(root, epochs, 0.0, 20.0, "cpu")
    stages = [{**stage.model_dump(mode="json"), "fingerprint": root}]
    launched = {"study_id": "s", "name": "n", "toml": to_toml(study), "at": "2026-01-01T00:00:00+00:00"}
    database.record(
        [
            Event("1-0", "launched", {**launched, "stages": stages, "roles": [], "reused": []}),
            Event("2-0", "result", {"fingerprint": root, "result": result.to_json()}),
        ]
    )
    measured = preview(study).estimated_seconds
    # There are 7 trainings of 4 epochs of 5 s, and 3 of them in a row on any number of workers.
    assert measured > guess
    assert measured >= 3 * 20.0


def test_more_images_than_a_dataset_holds_are_refused_at_their_field(home: Path) -> None:
    with pytest.raises(StudyError) as error:
        plan_study(tiny_study(test_images=361), home)
    assert list(error.value.fields) == ["test_images"]
    assert "1 to 360" in error.value.fields["test_images"]
    with pytest.raises(DatasetError, match="digits"):
        plan_study(tiny_study(datasets=["digit"]), home)


def test_an_automatic_precision_is_chosen_by_the_hardware_before_planning(home: Path) -> None:
    study = tiny_study(recipe={"epochs": 3, "batch_size": 32, "precision": "auto"})
    planned = plan_study(study, home)
    chosen = precision(devices("auto"))
    assert planned.study.recipe.precision == chosen
    assert {stage.recipe.precision for stage in planned.stages.values()} == {chosen}
    explicit = tiny_study(recipe={"epochs": 3, "batch_size": 32, "precision": chosen})
    assert plan_study(explicit, home).stages.keys() == planned.stages.keys()
    with pytest.raises(ValueError, match="choose fp32 or bf16"):
        plan(study, {"digits": "0" * 32})


@pytest.mark.parametrize("in_hardware", [False, True])
def test_bf16_has_a_warning_where_the_hardware_does_not_compute_in_it(
    in_hardware: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.worker.devices._computes_in_bf16", lambda device: in_hardware)

    def warnings(chosen: str) -> list[str]:
        found = design_warnings(tiny_study(recipe={"epochs": 3, "batch_size": 32, "precision": chosen}), home)
        return [finding.text for finding in found if finding.field == "recipe.precision"]

    assert warnings("bf16") == ([] if in_hardware else [SLOW_BF16])
    assert warnings("fp32") == warnings("auto") == []


def test_the_space_of_a_study_is_that_of_its_remaining_weights(home: Path) -> None:
    # One dense LeNet-300 on digits leaves 0.6 MB and six pruned ones 0.25 MB each, as docs/team.md says.
    assert preview(tiny_study()).space == pytest.approx(0.6e6 + 6 * 0.25e6, rel=0.02)


def test_all_figures_take_the_space_that_the_documents_state(home: Path) -> None:
    planned = plan_study(study("all"), home)
    assert len(planned.stages) == 4715
    assert planning._space(planned, (), home) == pytest.approx(72e9, rel=0.03)


def test_only_a_long_study_has_a_preview_that_asks(home: Path) -> None:
    assert long_preview(tiny_study()) is None
    outline = long_preview(endless_study())
    assert outline is not None
    assert outline.estimated_seconds > planning.LONG
