"""The page of a link: what viewers read in place of paths, hosts, workers, errors and, where it is anonymous, names."""

import dataclasses
from pathlib import Path

import pytest
from redis import Redis

from app.compare.state import CompareState, to_query
from app.state import live
from data import shared_links
from data.database.database import Database
from data.shared_links import Anonymous
from engine.study.spec import Study
from tasks.queue import leases, telemetry
from tasks.queue.telemetry import LiveProgress, Slow
from tests.app.dashboard import open_page, rerun, tables, texts
from tests.app.made_study import record
from tests.machine import folder_of_images
from tests.tasks.queue.test_telemetry import worker

STUDY, OTHER = "made-study-0001", "made-study-0002"
ERROR = 'OSError: /home/alice\n\nTraceback (most recent call last):\n  File "/home/alice/run.py"'


@pytest.fixture
def alices(database: Database, study: Study, tmp_path: Path) -> Study:
    """A study of Alice's on a folder of images, of which some stages failed and others train."""
    folder = folder_of_images(tmp_path / "alice" / "cats")
    hers = study.model_copy(update={"name": "Alice's study", "note": "for Bob", "datasets": (f"folder:{folder}",)})
    states = {0: "running", 1: "failed"}
    record(database, hers, lambda index, stage: states.get(index, "done"), STUDY, error=ERROR)
    return hers


def seen(app: object) -> str:
    """Return all that a page sends, as far as a test without a browser knows it."""
    return f"{texts(app)}\n{tables(app)}\n{[frame.value.to_string() for frame in app.dataframe]}".replace("\\", "")  # type: ignore[arg-type,attr-defined]


def test_failed_stages_have_a_sentence_and_numbers_for_workers(database: Database, alices: Study) -> None:
    app = open_page("views/shared.py", share=shared_links.create(database, [STUDY])[1], tab="progress")
    text = seen(app)
    assert "**Training ended with an error of the program. Whoever shared this study can read" in text
    assert "attempt 1 on worker 2 (host 1)" in text
    assert not any(secret in text for secret in ("/home", "Traceback", "laptop", "worker-", "OSError"))
    # There is no queue in this test, and its address has a path.
    assert f"Live speeds are missing: {live.NO_ANSWER}" in text
    assert "folder cats" in text
    assert "Alice's study" in text
    assert "for Bob" in text
    owner = open_page("views/study.py", study=STUDY)
    assert all(part in seen(owner) for part in ("Traceback", "worker-2 (laptop)"))
    # What the owner has seen is not what viewers get, although both read the same study at the same time.
    assert "Traceback" not in seen(rerun(app))


def test_live_workers_have_the_numbers_that_the_table_has(database: Database, alices: Study, redis: Redis) -> None:
    del alices
    with database.reading() as connection:
        [(stage,)] = connection.execute("SELECT fingerprint FROM states WHERE state = 'running'").fetchall()
    leases.register(redis, STUDY, {}, (), ())
    slow = Slow("no kernel in /home/bob", 1, (stage,))
    telemetry.beat(redis, worker("laptop-17:1", host="laptop", trouble="cannot write /home", stage=stage, slow=slow))
    redis.zadd(f"{telemetry.PREFIX}leases", {stage: 2**52})
    now = LiveProgress(1, 4, 0.5, 50.0, 2.0, worker="laptop-17:1", updated=0.0)
    redis.hset(f"{telemetry.PREFIX}progress:{stage}", mapping=dataclasses.asdict(now))
    app = open_page("views/shared.py", share=shared_links.create(database, [STUDY])[1], tab="progress")
    table = app.dataframe[-1].value
    assert list(table[table["State"] == "running"]["Worker"]) == ["worker 1"]
    assert list(table[table["State"] == "running"]["Epochs/s"]) != [""]
    assert [warning.value for warning in app.warning] == [
        "A host waits",
        "A host trains 1 stage without CUDA graphs, more slowly",
    ]
    assert "laptop" not in seen(app)
    assert "laptop-17:1" in seen(open_page("views/study.py", study=STUDY))


def test_an_anonymous_link_shows_the_title_and_no_names(database: Database, alices: Study) -> None:
    del alices
    token = shared_links.create(database, [STUDY], note="for Carol", anonymous=Anonymous("Submission 12"))[1]
    app = open_page("views/shared.py", share=token)
    for tab in ("Progress", "Accuracy", "Overlap", "Verdicts"):
        app.session_state["tab"] = tab
        text = seen(rerun(app))
        assert not any(secret in text.lower() for secret in ("alice", "bob", "carol", "laptop", "cats", "/home"))
    assert [title.value for title in app.title] == ["Submission 12"]
    # The folder is on this machine, so the number of its images is known.
    assert "It has 20 images" in text
    assert "folder dataset" in texts(app)


def test_notes_are_shown_where_the_owner_says_so(database: Database, alices: Study) -> None:
    del alices
    token = shared_links.create(database, [STUDY], anonymous=Anonymous(with_notes=True))[1]
    assert "for Bob" in texts(open_page("views/shared.py", share=token))


def test_a_shared_view_keeps_its_filter_by_a_folder(database: Database, alices: Study) -> None:
    record(database, alices.model_copy(update={"name": "Bob's study", "seeds": (5,)}), study_id=OTHER)
    state = CompareState(
        (STUDY, OTHER), datasets=(*alices.datasets, "folder:/gone"), panels="dataset", by="study", point="0123abcd"
    )
    for anonymous, name in ((None, "folder cats"), (Anonymous("Submission 12"), "folder dataset")):
        token = shared_links.create(database, [STUDY, OTHER], to_query(state), anonymous=anonymous)[1]
        app = open_page("views/shared.py", share=token)
        html = " ".join(item.proto.body for item in app.get("html"))
        text = seen(app) + html + " ".join(str(item.proto).replace("\\", "") for item in app.get("multiselect"))
        assert name in text.lower()
        assert not app.warning
        assert "/gone" not in text
        assert str(alices.datasets[0]) not in text
        assert "Submission 12 2" in text if anonymous else "Bob's study" in text
    assert not any(secret in text for secret in ("Alice", "Bob", "cats"))


def test_links_of_one_study_share_nothing_that_differs(database: Database, alices: Study) -> None:
    del alices
    pages = {
        title: open_page("views/shared.py", share=shared_links.create(database, [STUDY], anonymous=Anonymous(title))[1])
        for title in ("First", "Second")
    }
    for title, app in pages.items():
        assert [item.value for item in rerun(app).title] == [title]


def test_the_dialog_makes_an_anonymous_link_and_says_what_stays_visible(database: Database, alices: Study) -> None:
    del alices
    app = open_page("views/study.py", study=STUDY)
    app.button(key="share").click()
    rerun(app)
    assert "Left out" not in texts(app)
    app.checkbox(key="share_anonymous").check()
    rerun(app)
    assert "Still visible" in texts(app)
    app.text_input(key="share_title").input("Submission 12")
    app.text_input(key="share_note").input("ICML")
    app.button(key="share_create").click()
    rerun(app)
    [row] = shared_links.shares(database).to_dict("records")
    assert (row["anonymous"], row["title"], row["with_notes"], row["note"]) == (True, "Submission 12", False, "ICML")
    # Lines to copy for notebooks follow the address.
    address = next(code.value for code in app.code if "share=" in code.value)
    link = shared_links.find(database, address.partition("share=")[2])
    assert link is not None
    assert dataclasses.asdict(link)["anonymous"] == {"title": "Submission 12", "with_notes": False}
    assert "violet-badge[anonymous]" in texts(app)
    app.checkbox(key="share_anonymous").uncheck()
    assert address not in texts(rerun(app))
    listed = open_page("views/links.py")
    listed.text_input(key="links_search").input("anonymous submission")
    assert "shown as “Submission 12”" in texts(rerun(listed))
