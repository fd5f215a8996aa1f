"""Leases of dead workers end before the first worker of a host is started."""

import socket
import subprocess

from redis import Redis

from data import processes
from tasks.queue import scripts, telemetry
from tasks.services.up import end_dead_workers
from tasks.worker import host
from tests.tasks.queue.test_leases import claim, register, tiny_plan
from tests.tasks.queue.test_telemetry import age, worker


def lease_has_ended(redis: Redis) -> bool:
    """Return whether the only lease has expired."""
    [(_, until)] = redis.zrange(f"{scripts.PREFIX}leases", 0, -1, withscores=True)
    return until == 0


def test_only_leases_of_dead_processes_of_this_host_are_ended(redis: Redis, sleeper: "subprocess.Popen[bytes]") -> None:
    name, born = host.worker_name(sleeper.pid), processes.born(sleeper.pid)
    [message] = register(redis, tiny_plan())
    assert claim(redis, message, name)
    telemetry.beat(redis, worker(name, born=born))
    # Another host has another token, so that its process ids mean nothing here.
    telemetry.beat(redis, worker(f"elsewhere:{sleeper.pid}", born=born - 3600.0))
    assert end_dead_workers(redis) == []
    assert not lease_has_ended(redis)

    # The worker began long before the process of this id, so that it was another process.
    telemetry.beat(redis, worker(name, born=born - 3600.0))
    assert end_dead_workers(redis) == [name]
    assert lease_has_ended(redis)
    assert [known.host for known in telemetry.known_workers(redis)] == ["h"]


def test_the_lease_of_a_process_that_has_ended_is_ended(redis: Redis, sleeper: "subprocess.Popen[bytes]") -> None:
    name, born = host.worker_name(sleeper.pid), processes.born(sleeper.pid)
    [message] = register(redis, tiny_plan())
    assert claim(redis, message, name)
    telemetry.beat(redis, worker(name, born=born))
    sleeper.kill()
    sleeper.wait()
    assert end_dead_workers(redis) == [name]
    assert lease_has_ended(redis)
    assert telemetry.known_workers(redis) == []


def test_workers_from_before_a_restart_of_the_machine_are_removed(redis: Redis) -> None:
    this_host = {"host": socket.gethostname()}
    for name, boot in (("h-0000:1", "before"), ("h-0000:2", "before"), ("h-0001:3", host.boot())):
        telemetry.beat(redis, worker(name, **this_host, boot=boot))
    age(redis, "h-0000:1", 60)
    age(redis, "h-0001:3", 60)
    # The second is alive, so it runs on another machine of the same name; the third was a container on this one.
    assert end_dead_workers(redis) == ["h-0000:1"]
