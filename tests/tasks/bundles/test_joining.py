"""Studies that differ in their seeds alone become one, made of their results."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis import Redis

from data.database.database import Database
from data.queries import studies
from data.settings import settings
from tasks.bundles import words
from tasks.bundles.importing import import_bundle
from tasks.bundles.joining import JoinError, join
from tasks.queue import leases, telemetry
from tasks.studies import launch
from tests.data.bundles.made_bundles import exported
from tests.data.made_results import made_result
from tests.machine import tiny_study
from tests.tasks.studies.test_rebuild import planned

# The bundles that tests of this process have made, by what is in them.
BUNDLES: dict[str, bytes] = {}
# A study of three trainings.
SMALL: dict[str, object] = {"pruners": ["oneshot"], "sparsities": [0.5]}


def bring(tmp_path: Path, study_id: str, finished: int | None = None, **changes: object) -> str:
    """Import a small study of another home, and return its id."""
    key = repr((study_id, finished, changes))
    if key not in BUNDLES:
        plan = planned(**{**SMALL, **changes})
        made = {name: made_result(name, stage) for name, stage in list(plan.stages.items())[:finished]}
        BUNDLES[key] = exported(Database(tmp_path / study_id / "ticketscope.duckdb"), plan, made, study_id)
    return import_bundle(settings(), io.BytesIO(BUNDLES[key]), f"{study_id}.zip").study_id


def seeds(study_id: str) -> Sequence[int]:
    return studies.study(Database(settings().database), study_id).study.seeds


def test_joined_studies_have_all_seeds_and_train_nothing(redis: Redis, tmp_path: Path) -> None:
    ids = [bring(tmp_path, "lab-a", seeds=[0, 1]), bring(tmp_path, "lab-b", seeds=[1, 2], name="Other", note="x")]
    joined = join(settings(), ids)
    assert joined.is_new
    assert (joined.name, joined.seeds) == ("Tiny (3 seeds)", (0, 1, 2))
    assert seeds(joined.study_id) == (0, 1, 2)
    record = studies.study(Database(settings().database), joined.study_id)
    assert (record.state, record.counts["done"]) == ("done", 9)
    assert telemetry.queued(redis) == 0
    assert words.joined(joined).endswith("Tiny (3 seeds): 9 of 9 stages done; nothing is trained")
    again = join(settings(), ids[::-1], "Another name")
    assert (again.study_id, again.is_new) == (joined.study_id, False)
    # One that has all seeds already is the joined one.
    assert join(settings(), [joined.study_id, ids[0]]).study_id == joined.study_id


def test_a_join_of_incomplete_studies_waits_for_a_retry(redis: Redis, tmp_path: Path) -> None:
    ids = [bring(tmp_path, "lab-a"), bring(tmp_path, "lab-b", finished=2, seeds=[1])]
    joined = join(settings(), ids, "Ours")
    assert (joined.name, joined.done, joined.stages) == ("Ours", 5, 6)
    assert studies.study(Database(settings().database), joined.study_id).state == "cancelled"
    assert telemetry.queued(redis) == 0
    launch.retry(joined.study_id)
    assert leases.counts(redis, joined.study_id)["queued"] > 0


def test_other_settings_are_named_and_nothing_is_joined(redis: Redis, tmp_path: Path) -> None:
    recipe = {"epochs": 5, "batch_size": 50, "augmentation": "none"}
    ids = [bring(tmp_path, "lab-a"), bring(tmp_path, "lab-b", seeds=[1], recipe=recipe, sparsities=[0.5, 0.9])]
    with pytest.raises(
        JoinError, match=r"lab-a and lab-b differ .* \(sparsities: 0.5 and 0.5, 0.9; recipe.epochs: 4 and 5"
    ):
        join(settings(), ids)
    with pytest.raises(JoinError, match="two studies or more, given 1"):
        join(settings(), ["lab-a", "lab-a"])
    assert set(leases.studies(redis)) == set(ids)


def test_results_of_other_code_are_not_joined(redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del redis
    ids = [bring(tmp_path, "lab-a"), bring(tmp_path, "lab-b", seeds=[1])]
    monkeypatch.setattr("engine.study.plan.ENGINE_VERSION", 7)
    with pytest.raises(JoinError, match="6 of 6 trainings of the joined study are none of these"):
        join(settings(), ids)


def test_equal_images_may_have_other_names(redis: Redis, tmp_path: Path) -> None:
    del redis
    from engine.study.plan import plan

    one, two = (
        plan(tiny_study(**SMALL, datasets=[name], seeds=[seed]), {name: "a" * 32})
        for name, seed in (("folder:/lab-a/cats", 0), ("folder:/lab-b/felines", 1))
    )
    ids = []
    for study_id, planned_there in (("lab-a", one), ("lab-b", two)):
        made = {key: made_result(key, stage) for key, stage in planned_there.stages.items()}
        content = exported(Database(tmp_path / study_id / "ticketscope.duckdb"), planned_there, made, study_id)
        ids.append(import_bundle(settings(), io.BytesIO(content), study_id).study_id)
    joined = join(settings(), ids)
    assert (joined.done, joined.stages) == (6, 6)
    record = studies.study(Database(settings().database), joined.study_id)
    assert record.study.datasets == ("folder:/lab-a/cats",)
