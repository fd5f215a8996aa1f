import re
import time
from collections import Counter

import pytest
import streamlit as st
from redis import Redis

from app.components.stage_names import stage_names
from app.state import live
from app.study import progress
from app.study.stages_table import snapshot
from data import shared_links
from data.database.database import Database
from data.database.events import Event
from data.queries import studies
from engine.study.spec import Study
from tasks.queue import leases, telemetry
from tasks.queue.telemetry import LiveProgress, Slow
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import measured, record
from tests.tasks.queue.test_telemetry import worker


def test_a_long_list_of_stages_is_shortened_and_search_finds_the_others(
    database: Database, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = record(database, study)
    monkeypatch.setattr(progress, "MOST_STAGES", 5)
    app = open_page("views/study.py", study="made-study-0001", tab="progress")
    total = len(plan.stages)
    assert f"{total} of {total} stages; the first 5 are listed, search for others" in texts(app)
    assert len(app.dataframe[-1].value) == 5
    first = app.dataframe[-1].value["Stage"]
    app.text_input("stages_search").set_value("rewind 90 one-shot")
    app = rerun(app)
    matching = app.dataframe[-1].value["Stage"]
    assert len(matching) == 5
    assert matching.str.startswith("rewind").all()
    assert set(matching) != set(first)


def test_head_and_table_agree_on_a_study_that_changes_while_the_page_is_drawn(
    database: Database, study: Study, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = ["done"] * 30 + ["running"] * 2 + ["queued"] * 2
    plan = record(database, study, lambda index, stage: states[index] if index < len(states) else "waiting")
    register(redis)
    keys = list(plan.stages)
    # Redis knows of a stage in training before the database does.
    begun = {keys[32]: LiveProgress(1, 4, 0.5, 50.0, 2.0, "worker-1", time.time())}

    def change_and_read(fingerprints: tuple[str, ...]) -> tuple[dict[str, LiveProgress], str | None]:
        del fingerprints
        result = measured(keys[30], plan.stages[keys[30]])
        change = {"fingerprint": keys[30], "attempt": 1, "at": "2026-11-20T13:00:00+00:00", "state": "done"}
        database.record(
            [
                Event("9999999999999-1", "result", {"fingerprint": keys[30], "result": result.to_json()}),
                Event("9999999999999-2", "stage", change),
            ]
        )
        # What a page has read stays for a second.
        st.cache_data.clear()
        return begun, None

    monkeypatch.setattr(live, "progress", change_and_read)
    app = open_page("views/study.py", study="made-study-0001", tab="progress")
    shown = Counter(app.dataframe[-1].value["State"])
    [head] = [item.proto.text for item in app.get("progress") if "stages done" in item.proto.text]
    assert head.startswith(f"31 of {len(keys)} stages done")
    assert shown["done"] == 31
    counts = {metric.label: metric.value for metric in app.metric}
    assert (counts["Running"], counts["Queued"]) == ("2", "1")
    assert (shown["running"], shown["queued"]) == (2, 1)
    assert int(re.search(r"(\d+) % of epochs", head)[1]) == 100 * (31 * 4 + 2 + 1) // (4 * len(keys))


def test_hundred_percent_is_said_only_once_every_stage_is_done(database: Database, study: Study) -> None:
    plan = record(database, study, lambda index, stage: "done" if index else "running")
    last = next(iter(plan.stages))
    at_the_end = ((last, LiveProgress(4, 4, 0.5, 50.0, 2.0, "worker-1", time.time())),)
    assert snapshot("made-study-0001", at_the_end).fraction == 1
    assert snapshot("made-study-0001", at_the_end).percent == 99


@pytest.mark.parametrize("recorded", [True, False])
def test_the_last_finished_stages_are_drawn_until_running_ones_have_an_epoch(
    database: Database, study: Study, recorded: bool
) -> None:
    record(database, study, lambda index, stage: "done" if index < 20 else "running" if index < 22 else "waiting")
    if not recorded:
        with database.writing() as connection:
            connection.execute(
                "DELETE FROM epochs WHERE fingerprint IN (SELECT fingerprint FROM states WHERE state = 'running')"
            )
    app = open_page("views/study.py", study="made-study-0001")
    rows = studies.stages(database, "made-study-0001")
    expected = rows[rows["state"] == ("running" if recorded else "done")].tail(2)["fingerprint"]
    names = stage_names(rows)
    legend = " ".join(item.proto.body for item in app.get("html"))
    assert [name for name in names.values() if f"{name}<" in legend] == [names[fingerprint] for fingerprint in expected]
    assert "No epoch is recorded" not in texts(app)


def register(redis: Redis) -> None:
    """Register the study in the queue, as a launch does."""
    leases.register(redis, "made-study-0001", {}, (), ())


def test_the_page_says_once_what_workers_of_the_study_wait_for(database: Database, study: Study, redis: Redis) -> None:
    plan = record(database, study, lambda i, s: "running" if i < 3 else "waiting")
    first, second, third, *_ = plan.stages
    waiting = {"host": "gpu1", "trouble": "cannot write weights: no space left on device"}
    register(redis)
    telemetry.beat(redis, worker("gpu1-1:1", **waiting, stage=first))
    telemetry.beat(redis, worker("gpu1-1:2", **waiting, stage=second))
    slow = Slow("stream is capturing", 7, (third, "f" * 32))
    telemetry.beat(redis, worker("gpu2-1:1", host="gpu2", stage=third, beside=("f" * 32,), slow=slow))
    telemetry.beat(redis, worker("gpu3-1:1", host="gpu3", trouble="another study's", stage="f" * 32))
    app = open_page("views/study.py", study="made-study-0001")
    warnings = [warning.value.replace("\\", "") for warning in app.warning]
    assert warnings == [
        "gpu1 (2 workers) waits: cannot write weights: no space left on device",
        "gpu2 trains 1 stage without CUDA graphs, more slowly: stream is capturing",
    ]


def test_a_viewer_sees_no_path_of_a_machine(database: Database, study: Study, redis: Redis) -> None:
    plan = record(database, study, lambda i, s: "running" if i == 0 else "waiting")
    token = shared_links.create(database, ["made-study-0001"])[1]
    register(redis)
    stage = next(iter(plan.stages))
    telemetry.beat(redis, worker("gpu1-1:1", host="gpu1", trouble="cannot write /secret", stage=stage))
    app = open_page("views/shared.py", share=token, tab="progress")
    assert [warning.value for warning in app.warning] == ["A host waits"]


def test_a_viewer_reads_that_a_study_is_lost_but_no_command(database: Database, study: Study, redis: Redis) -> None:
    del redis
    record(database, study, lambda i, s: "running" if i == 0 else "waiting")
    token = shared_links.create(database, ["made-study-0001"])[1]
    [warning] = [item.value for item in open_page("views/shared.py", share=token, tab="progress").warning]
    assert "does not know this study" in warning
    assert "tasks" not in warning
    [warning] = [item.value for item in open_page("views/study.py", study="made-study-0001").warning]
    assert "ticketscope rebuild" in warning
