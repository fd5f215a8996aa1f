import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.database.lock import Busy, exclusive, holders, shared


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


def hold(path: Path, mode: str, held) -> None:
    with {"shared": shared, "exclusive": exclusive}[mode](path):
        held.set()
        time.sleep(60)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """A function that starts a process which holds the lock, and returns its id."""
    context, processes = multiprocessing.get_context("spawn"), []

    def start(mode: str) -> int:
        held = context.Event()
        process = context.Process(target=hold, args=(tmp_path / "lock", mode, held))
        processes.append(process)
        process.start()
        assert held.wait(30)
        assert process.pid is not None
        return process.pid

    yield start
    for process in processes:
        process.kill()
        process.join()


def test_waiting_is_bounded_and_says_who_holds_the_lock_since_when(
    tmp_path: Path, holder: Callable[[str], int]
) -> None:
    pid = holder("exclusive")
    began = time.monotonic()
    with pytest.raises(Busy, match=rf"\(process {pid}\) since [0-9:]{{8}}$"), shared(tmp_path / "lock", patience=0.3):
        pass
    assert 0.3 <= time.monotonic() - began < 5.0
    os.kill(pid, signal.SIGKILL)
    with exclusive(tmp_path / "lock", patience=5.0):
        # What the killed process recorded is not taken for a holder.
        [holding] = holders(tmp_path / "lock")
        assert holding.pid == os.getpid()
    assert holders(tmp_path / "lock") == []


def test_readers_pass_a_stopped_reader_once_the_waiting_writer_gives_up(
    tmp_path: Path, holder: Callable[[str], int]
) -> None:
    pid = holder("shared")
    os.kill(pid, signal.SIGSTOP)

    def give_up() -> None:
        with pytest.raises(Busy), exclusive(tmp_path / "lock", patience=0.5):
            pass

    writer = threading.Thread(target=give_up)
    writer.start()
    with shared(tmp_path / "lock", patience=5.0):
        pass
    writer.join()
    with (
        pytest.raises(Busy, match=f"which is stopped: continue it .fg, or kill -CONT {pid}. or end it"),
        exclusive(tmp_path / "lock", patience=0.1),
    ):
        pass


def test_the_lock_works_where_holders_cannot_be_recorded(tmp_path: Path, holder: Callable[[str], int]) -> None:
    (tmp_path / "lock.holders").write_text("a file is in the way")
    holder("shared")
    with shared(tmp_path / "lock", patience=0.1):
        pass
    with pytest.raises(Busy, match="another program"), exclusive(tmp_path / "lock", patience=0.1):
        pass
