"""Forged files in the artifact store are refused with a message and cost no memory."""

import json
import resource
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from data.artifacts.store import ArtifactError, Artifacts
from engine.dataset import Dataset
from engine.stages.runner import run_stage
from engine.study.plan import plan
from tests.machine import tiny_study
from tests.tasks.queue.test_leases import result

FINGERPRINT = "0" * 32


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a safetensors file with any header, whose stated length may be wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def broken() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "short", b"\0\0\0"
    for length in (2**63, 2**64 - 1, 10**12, 1_000):
        yield f"a header of {length} bytes", tensors({}, length=length)
    yield "no JSON", tensors(b"\xff\xfe")
    yield "deep JSON", tensors(b"[" * 1_000_000)
    yield "deep names", tensors(b'{"a":' * 1_000_000)
    yield "a list", tensors([])
    yield "overlapping", tensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12))
    yield "beyond the end", tensors({"a": entry([2], 0, 8)}, bytes(4))
    yield "backwards", tensors({"a": entry([2], 8, 0)}, bytes(8))
    yield "a hole", tensors({"a": entry([1], 4, 8)}, bytes(8))
    yield "a huge shape", tensors({"a": entry([2**62, 2**62], 0, 8)}, bytes(8))
    yield "a shape that does not fit", tensors({"a": entry([3], 0, 8)}, bytes(8))
    yield "a negative shape", tensors({"a": entry([-1], 0, 8)}, bytes(8))
    yield "an unknown type", tensors({"a": entry([2], 0, 8, "PICKLE")}, bytes(8))
    yield "a pickle", b"\x80\x04cos\nsystem\n(S'touch trap'\ntR."


@pytest.mark.parametrize(("name", "content"), list(broken()), ids=[name for name, _ in broken()])
def test_weights_with_a_bad_header_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    del name
    artifacts = Artifacts(str(tmp_path))
    path = tmp_path / "weights" / FINGERPRINT / "trained.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtifactError, match=r"is damaged.*remove .*then launch"):
        artifacts.load(FINGERPRINT, "trained")
    # The limit, in KiB, is far below any of the lengths that the headers state.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


GOOD = result(FINGERPRINT).to_json()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        "[" * 1_000_000,
        '{"a":' * 500_000,
        json.dumps({**GOOD, "epochs": 5}),
        json.dumps({**GOOD, "epochs": [[{}] * 7]}),
        json.dumps({**GOOD, "epochs": [["<b>"] * 7]}),
        json.dumps({**GOOD, "epochs": [[1, 0.1, float("nan"), 1, 1, 1, 1]]}),
        json.dumps({**GOOD, "sparsity": float("inf")}),
        json.dumps({**GOOD, "sparsity": "half"}),
        json.dumps({**GOOD, "seconds": 10**400}),
        '{"seconds": ' + "9" * 100_000 + "}",
        json.dumps({**GOOD, "device": "<script>\x00"}),
        json.dumps({**GOOD, "versions": {"a": ["b"]}}),
        json.dumps({**GOOD, "overlaps": [{"pair": "a", "counts": [["l"], ["p"], [1], [1], [1]]}]}),
        json.dumps({**GOOD, "overlaps": [{"pair": "a", "counts": [["l"], [0.1], [1], [1], [1], [2]]}]}),
        json.dumps({**GOOD, "mask": "<script>"}),
        json.dumps({**GOOD, "retention": [[1]]}),
        json.dumps({**GOOD, "residuals": ["x"]}),
        json.dumps({**GOOD, "fingerprint": "f" * 32}),
    ],
    ids=str,
)
def test_a_forged_result_is_refused(tmp_path: Path, content: str) -> None:
    artifacts = Artifacts(str(tmp_path))
    path = tmp_path / "results" / f"{FINGERPRINT}.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ArtifactError) as refused:
        artifacts.result(FINGERPRINT)
    assert len(str(refused.value)) < 1_500


def test_a_valid_result_is_read(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    artifacts.finish(FINGERPRINT, result(FINGERPRINT))
    assert artifacts.result(FINGERPRINT) == result(FINGERPRINT)


class Silent:
    def epoch(self, row: object, total: int) -> bool:
        del row, total
        return True

    def commit(self, rows: object) -> None:
        del rows


def images() -> Dataset:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 8, 8, 1), dtype=torch.uint8, generator=draw)
    labels = torch.arange(40) % 10
    return Dataset(pixels, labels, pixels, labels, tuple("0123456789"))


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"fc1.weight": torch.zeros(2, 2)},
        {"fc1.weight": torch.zeros(300, 64), "surprise": torch.zeros(1)},
        {name: torch.zeros(1, dtype=torch.int8) for name in ("fc1.weight", "fc2.weight", "fc3.weight")},
    ],
    ids=["nothing", "another shape", "one too many", "another type"],
)
@pytest.mark.parametrize("name", ["trained", "checkpoint"])
def test_weights_of_another_network_fail_their_stage_alone(
    tmp_path: Path, forged: dict[str, torch.Tensor], name: str
) -> None:
    artifacts = Artifacts(str(tmp_path))
    stages = list(plan(tiny_study(train_images=None, test_images=None), {"digits": "d"}).stages.values())
    root, child = stages[0], next(stage for stage in stages if stage.parent == stages[0].fingerprint)
    run_stage(root, images(), artifacts, torch.device("cpu"), Silent())
    target = root if name == "trained" else child
    artifacts.save(target.fingerprint, name, forged)
    # A worker records any exception of a stage as its failure and continues (`tasks.worker.trainer`).
    with pytest.raises((RuntimeError, KeyError, ValueError)):
        run_stage(child, images(), artifacts, torch.device("cpu"), Silent())
