"""People are told once when a study is done, failed or stuck, by a real service, and no secret leaves the setting."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from data.database.database import Database
from data.database.events import Event
from data.settings import settings
from engine.study.plan import Plan, Stage
from tasks.notices import news
from tasks.notices.notifier import Notifier
from tasks.queue import leases, telemetry
from tests.app.made_study import record
from tests.machine import free_port, tiny_study
from tests.receiver import SECRETS, Receiver, receiving
from tests.tasks.queue.test_leases import claim, register
from tests.tasks.queue.test_telemetry import age, worker

ENDED = "made-study-0001"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def notifier(
    redis: Redis, database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Notifier]:
    """A function that makes a notifier as a new recorder does, whose settings name the receiver and others."""
    del redis, database

    def make(*others: str, stuck: float = 900.0) -> Notifier:
        monkeypatch.setenv("TICKETSCOPE_NOTIFY", " ".join((receiver.url, *others)))
        monkeypatch.setenv("TICKETSCOPE_URL", "https://tickets.example")
        settings.cache_clear()
        return Notifier(settings(), stuck, pauses=(0.0, 0.0))

    return make


def now(minutes: float = 0.0) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def fail_again(database: Database, planned: Plan, attempt: int) -> None:
    """Record that the first stage was tried again and failed again."""
    at = {"fingerprint": next(iter(planned.stages)), "attempt": attempt, "at": now().isoformat()}
    milliseconds = int(now().timestamp() * 1000)
    states = ("queued", "running", "failed")
    database.record(
        [
            Event(f"{milliseconds}-{number}", "stage", {**at, "state": state, "error": "RuntimeError: again"})
            for number, state in enumerate(states)
        ]
    )


def failed_first(index: int, stage: Stage) -> str:
    del stage
    return "waiting" if index else "failed"


def test_an_end_is_told_once_and_to_nobody_if_it_came_before_the_setting(
    notifier: Callable[..., Notifier], database: Database, receiver: Receiver
) -> None:
    record(database, tiny_study(name="Old"), study_id="old", began=now(10))
    notifier().look()
    record(database, tiny_study(name="News of *today*", seeds=[1, 2]), began=now(5), reused=2)
    # A study of another lab, for example.
    record(database, tiny_study(name="Imported", seeds=[3]), study_id="imported", began=now(60 * 30))
    notifier().look()
    [told] = receiver.received
    assert told["title"] == "News of *today* is done"
    assert told["message"] == (f"14 trainings, 2 of them reused, in 15 s.\nhttps://tickets.example/study?study={ENDED}")
    # Neither a second look nor a recorder that is started again tells it again.
    again = notifier()
    again.look()
    again.look()
    assert len(receiver.received) == 1


def test_a_failed_study_is_told_again_only_after_a_retry_has_ended(
    notifier: Callable[..., Notifier], database: Database, redis: Redis, receiver: Receiver
) -> None:
    notifier().look()
    planned = record(database, tiny_study(), failed_first, began=now(5))
    telling = notifier()
    telling.look()
    assert receiver.titles() == ["Tiny has ended with failed stages"]
    assert receiver.received[0]["message"].startswith(
        "0 of 7 trainings done, 1 failed, 6 blocked by these, after 2 s.\n"
    )
    assert "made-up" not in receiver.received[0]["message"]
    telling.look()
    # The recorder is behind: Redis already has the retry.
    leases.register(redis, ENDED, {"study_id": ENDED}, list(planned.stages.values()), ())
    fail_again(database, planned, 2)
    telling.look()
    assert len(receiver.received) == 1
    leases.cancel(redis, ENDED, now().isoformat())
    telling.look()
    assert len(receiver.received) == 2
    notifier().look()
    assert len(receiver.received) == 2


def test_a_study_that_nobody_trains_is_stuck_and_one_that_waits_for_its_turn_is_not(
    notifier: Callable[..., Notifier], database: Database, redis: Redis, receiver: Receiver
) -> None:
    planned = record(database, tiny_study(), lambda *_: "waiting", began=now(5))
    [message] = register(redis, planned, ENDED)
    telling = notifier(stuck=0.0)
    telling.look()
    telling.look()
    assert receiver.titles() == ["Tiny is stuck"]
    assert "no worker is running. 0 of 7 trainings are done, 7 left." in receiver.received[0]["message"]
    # Workers that train another study reach this one later; one that is idle should have taken it.
    telemetry.beat(redis, worker("secret-host:1", stage="f" * 32))
    assert news.standstill(redis, ENDED, telemetry.known_workers(redis)) is None
    telling.look()
    telemetry.beat(redis, worker("secret-host:1"))
    assert news.standstill(redis, ENDED, telemetry.known_workers(redis)) == "idle workers take none of its stages"
    assert claim(redis, message, "secret-host:1")
    telemetry.beat(redis, worker("secret-host:1", stage=message.fingerprint))
    assert news.standstill(redis, ENDED, telemetry.known_workers(redis)) is None
    age(redis, "secret-host:1", 600.0)
    # It went on in between, so that it is told again.
    telling.look()
    assert receiver.titles() == ["Tiny is stuck"] * 2
    assert "its workers are silent" in receiver.received[1]["message"]
    telemetry.beat(redis, worker("secret-host:1", stage=message.fingerprint, trouble="no space on /secret"))
    assert news.standstill(redis, ENDED, telemetry.known_workers(redis)) == "its workers wait for the artifact store"
    assert "secret" not in "".join(told["message"] + told["title"] for told in receiver.received)


def test_a_service_that_fails_is_tried_again_alone_and_the_log_keeps_its_secrets(
    notifier: Callable[..., Notifier],
    database: Database,
    receiver: Receiver,
    home: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    others = f"json://ada:sesame@127.0.0.1:{free_port()}/s3cret", "nonsense://s3cret"
    notifier(*others).look()
    record(database, tiny_study(), began=now(5))
    receiver.refuse = 1
    notifier(*others).look()
    assert receiver.received == []
    last = notifier(*others)
    last.look()
    assert receiver.titles() == ["Tiny is done"]
    for _ in range(2):
        last.look()
    assert len(receiver.received) == 1
    said = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    first, second = said
    assert "tried again" in first
    assert "service 1 (JSON): it answered with status 503" in first
    assert "given up after 2 tries: service 2 (JSON): there is no connection to it" in second
    assert "service 3 (unknown): apprise knows no such address" in second
    assert not any(secret in caplog.text for secret in SECRETS)
    assert (home / "notices.json").stat().st_mode & 0o077 == 0
    assert not any(secret in (home / "notices.json").read_text() for secret in SECRETS)
