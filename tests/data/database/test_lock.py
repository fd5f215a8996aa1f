import multiprocessing
import threading
import time
from pathlib import Path

import pytest

from data.database.lock import exclusive, shared


def read_without_pause(path: Path, stop) -> None:
    while not stop.is_set():
        with shared(path):
            time.sleep(0.005)


def test_a_writer_gets_its_turn_among_readers_that_never_pause(tmp_path: Path) -> None:
    path, context = tmp_path / "lock", multiprocessing.get_context("spawn")
    stop = context.Event()
    readers = [context.Process(target=read_without_pause, args=(path, stop)) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        turns = 0
        deadline = time.monotonic() + 30
        while turns < 20 and time.monotonic() < deadline:
            with exclusive(path):
                turns += 1
    finally:
        stop.set()
        for reader in readers:
            reader.join(30)
    assert turns == 20


def test_writers_exclude_each_other_and_readers_between_threads(tmp_path: Path) -> None:
    path, inside, worst = tmp_path / "lock", [], []

    def enter(lock, mark: str) -> None:
        for _ in range(30):
            with lock(path):
                inside.append(mark)
                worst.append("".join(sorted(inside)))
                time.sleep(0.0005)
                inside.remove(mark)

    threads = [
        threading.Thread(target=enter, args=pair) for pair in ((exclusive, "w"), (exclusive, "w"), (shared, "r"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(worst) <= {"w", "r"}


def test_readers_share_the_lock(tmp_path: Path) -> None:
    barrier = threading.Barrier(2, timeout=10)

    def read() -> None:
        with shared(tmp_path / "lock"):
            barrier.wait()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not barrier.broken


def test_taking_the_lock_twice_in_one_thread_is_refused(tmp_path: Path) -> None:
    with (
        shared(tmp_path / "lock"),
        pytest.raises(RuntimeError, match="already holds the lock"),
        shared(tmp_path / "lock"),
    ):
        pass
    with exclusive(tmp_path / "lock"):
        assert True
