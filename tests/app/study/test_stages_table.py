import time
from dataclasses import replace

import pandas as pd
import pytest

from app.components.stage_names import stage_names
from app.state import live
from app.study.stages_table import matching, stage_table
from data.database.database import Database
from data.queries import studies
from engine.study.spec import Study
from tasks.queue.telemetry import LiveProgress
from tasks.studies.time_left import Places, seconds_left
from tests.app.made_study import record

ID = "made-study-0001"


@pytest.fixture
def rows(database: Database, study: Study) -> pd.DataFrame:
    states = ["done"] * 10 + ["running", "failed", "queued"]
    record(database, study, lambda index, stage: states[index] if index < len(states) else "waiting")
    return studies.stages(database, ID)


@pytest.fixture
def now(rows: pd.DataFrame) -> dict[str, LiveProgress]:
    running = rows[rows["state"] == "running"]["fingerprint"].iloc[0]
    return {running: LiveProgress(3, 4, 0.5, 91.25, 2.0, "worker-9", time.time())}


def test_names_of_stages_are_in_the_words_of_the_field(rows: pd.DataFrame) -> None:
    names = set(stage_names(rows).values())
    assert "dense · learning rate 0.01 · seed 0" in names
    assert "winning ticket · iterative and one-shot 50 % · learning rate 0.1 · seed 2" in names
    assert "fine-tune · one-shot 90 % · learning rate 0.01 · seed 1" in names
    assert len(names) == len(rows)


def test_live_progress_replaces_recorded_progress(rows: pd.DataFrame, now: dict[str, LiveProgress]) -> None:
    row = stage_table(matching(rows, now), now).iloc[0]
    assert row["State"] == "running"
    assert (row["Epoch"], row["of"]) == (3, 4)
    assert row["Trained"] == 75
    assert row["Test accuracy (%)"] == 91.25
    assert row["Epochs/s"] == 2
    assert row["Time left"] == pd.Timedelta(seconds=0)
    assert row["Worker"] == "worker-9"


def test_numbers_of_the_table_are_numbers_so_that_it_sorts_by_them(
    rows: pd.DataFrame, now: dict[str, LiveProgress]
) -> None:
    table = stage_table(rows, now)
    for name in ("Learning rate", "Seed", "Trained", "Epoch", "of", "Test accuracy (%)", "Epochs/s"):
        assert pd.api.types.is_numeric_dtype(table[name]), name
    assert pd.api.types.is_timedelta64_dtype(table["Time left"])


def test_running_stages_come_first_and_failures_show_their_error(
    rows: pd.DataFrame, now: dict[str, LiveProgress]
) -> None:
    table = stage_table(matching(rows, now), now)
    assert list(dict.fromkeys(table["State"])) == ["running", "failed", "queued", "waiting", "done"]
    assert table[table["State"] == "failed"]["Error"].item() == "RuntimeError: a made-up failure"


def test_search_matches_every_word_and_the_chosen_states(rows: pd.DataFrame) -> None:
    table = stage_table(matching(rows, {}, "Rewind 90 seed 1", ["waiting"]), {})
    assert len(table)
    assert table["Stage"].str.startswith("rewind").all()
    assert (table["Seed"] == 1).all()
    assert (table["State"] == "waiting").all()
    assert stage_table(matching(rows, {}, "no such stage"), {}).empty


def test_search_finds_the_worker_that_has_a_stage_now(rows: pd.DataFrame, now: dict[str, LiveProgress]) -> None:
    assert list(matching(rows, now, "worker-9")["fingerprint"]) == list(now)


def test_names_of_stages_include_the_network_where_there_are_several(rows: pd.DataFrame) -> None:
    both = pd.concat([rows, rows.assign(network="vgg11", fingerprint=rows["fingerprint"].str[::-1])])
    assert all(name.rsplit(" on ")[0].endswith(("LeNet-300", "VGG-11")) for name in set(stage_column(both)))
    assert not any("LeNet-300" in name for name in stage_names(rows).values())


def stage_column(rows: pd.DataFrame) -> list[str]:
    return list(stage_table(rows, {}, with_network=True)["Stage"])


def test_progress_counts_epochs(rows: pd.DataFrame, now: dict[str, LiveProgress]) -> None:
    half_failed = 2
    assert live.fraction(rows, now) == pytest.approx((10 * 4 + 3 + half_failed) / (4 * len(rows)))


def test_the_time_left_of_the_study_is_never_below_that_of_a_row(
    rows: pd.DataFrame, now: dict[str, LiveProgress]
) -> None:
    slow = {fingerprint: replace(stage, epochs_per_second=0.001) for fingerprint, stage in now.items()}
    assert pd.Timedelta(minutes=16, seconds=40) in set(stage_table(rows, slow)["Time left"])
    assert seconds_left(rows, slow, Places(50)) == pytest.approx(1000)
