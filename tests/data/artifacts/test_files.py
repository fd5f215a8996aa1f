"""An S3 store as `Artifacts` uses it: what is missing is named, and a server that keeps silent is given up on."""

import socket
import time
from collections.abc import Iterator

import pytest
import s3fs
import torch
from moto.server import ThreadedMotoServer

from data.artifacts import files
from data.artifacts.store import ArtifactError, Artifacts, ArtifactsUnavailable

ONE = "1" * 32


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A free address, which the environment names as that of the S3 store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found = ("127.0.0.1", int(probe.getsockname()[1]))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*found))
    # Connections of an earlier test went to another server.
    s3fs.S3FileSystem.clear_instance_cache()
    yield found
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_bucket_that_is_not_there_is_named_and_an_empty_one_is_none(address: tuple[str, int]) -> None:
    server = ThreadedMotoServer(*address, verbose=False)
    server.start()
    try:
        missing = Artifacts("s3://nowhere/lab")
        with pytest.raises(ArtifactError, match=r"there is no bucket 'nowhere' .*AWS_ENDPOINT_URL"):
            missing.finished()
        with pytest.raises(ArtifactError, match="cannot write nowhere/lab"):
            missing.save(ONE, "trained", {"w": torch.zeros(2)})
        s3fs.S3FileSystem().mkdir(f"there-{address[1]}")
        artifacts = Artifacts(f"s3://there-{address[1]}/lab")
        assert artifacts.finished() == set()
        # Larger than what goes in one request.
        large = torch.arange(15_000_000, dtype=torch.int32)
        artifacts.save(ONE, "trained", {"w": large})
        assert torch.equal(artifacts.load(ONE, "trained")["w"], large)
        artifacts.delete(ONE, "trained")
        assert not artifacts.exists(ONE, "trained")
    finally:
        server.stop()


def test_a_store_that_refuses_or_keeps_silent_is_away(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = Artifacts("s3://there/lab")
    with pytest.raises(ArtifactsUnavailable, match="Could not connect"):
        artifacts.exists(ONE, "trained")
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.5)
    s3fs.S3FileSystem.clear_instance_cache()
    with socket.create_server(address):
        begin = time.monotonic()
        with pytest.raises(ArtifactsUnavailable, match="Read timeout"):
            Artifacts("s3://there/lab").exists(ONE, "trained")
        # So often it is asked, and no more: the libraries' own habit is five times five.
        assert time.monotonic() - begin < 10 * 0.5 * files.TRIES
