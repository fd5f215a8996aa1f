"""What commands watch: whether a study was ever launched."""

import pytest
from redis import Redis

from data.database.database import Database
from data.settings import settings
from tasks.cli import watch
from tasks.services import recorder
from tasks.studies import launch
from tests.machine import tiny_study


def test_a_home_is_empty_until_a_study_is_launched(redis: Redis, database: Database) -> None:
    del database
    assert watch.is_empty(settings(), redis)
    launch.launch(tiny_study())
    assert not watch.is_empty(settings(), redis)
    recorder.drain_idle(settings())
    assert not watch.is_empty(settings(), redis)


def test_a_study_that_is_recorded_meanwhile_counts(
    redis: Redis, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database
    launch.launch(tiny_study())
    count = redis.xlen

    def recorded_meanwhile(name: str) -> int:
        recorder.drain_idle(settings())
        return count(name)

    monkeypatch.setattr(redis, "xlen", recorded_meanwhile)
    assert not watch.is_empty(settings(), redis)
