"""An S3 store as `Artifacts` uses it: errors name a missing bucket, and a silent server counts as away."""

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
        free = ("127.0.0.1", int(probe.getsockname()[1]))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*free))
    # s3fs would reuse connections to the server of an earlier test.
    s3fs.S3FileSystem.clear_instance_cache()
    yield free
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_missing_bucket_is_an_error_and_an_empty_one_has_no_results(address: tuple[str, int]) -> None:
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
        # These tensors are larger than one request may be.
        large = torch.arange(15_000_000, dtype=torch.int32)
        artifacts.save(ONE, "trained", {"w": large})
        assert torch.equal(artifacts.load(ONE, "trained")["w"], large)
        artifacts.delete(ONE, "trained")
        assert not artifacts.exists(ONE, "trained")
    finally:
        server.stop()


def test_a_store_that_refuses_connections_or_never_answers_is_away(
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
        # It is asked `TRIES` times; by default the libraries would ask 25 times.
        assert time.monotonic() - begin < 10 * 0.5 * files.TRIES
