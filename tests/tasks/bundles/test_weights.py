"""Weights travel in a bundle, or are trained again where they are needed."""

import io
import json
import struct

import pytest
import torch
from redis import Redis

from data.artifacts.checksums import seal_tensors
from data.artifacts.store import Artifacts
from data.bundles import writer
from data.bundles.format import BundleError
from data.database.database import Database
from data.queries import results, studies
from data.settings import settings
from tasks.bundles.importing import import_bundle
from tasks.queue import leases, scripts
from tasks.queue.leases import Message
from tasks.queue.timing import Timing
from tasks.services import recorder
from tasks.studies import launch
from tasks.worker.group import StageGroup
from tasks.worker.trainer import Trainer
from tests.data.bundles.made_bundles import members, rewritten
from tests.machine import tiny_study
from tests.tasks.bundles.trained import train
from tests.tasks.studies.test_rebuild import planned

ONESHOT = {"pruners": ["oneshot"], "sparsities": [0.5], "starts": ["winning_ticket"]}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Bundles of a study of two trainings, without and with weights."""
    database, artifacts = train(planned(**ONESHOT), tmp_path_factory.mktemp("there"))
    whole = io.BytesIO()
    written = writer.write(database, "there", whole, "Lab A", artifacts)
    assert (written.results, written.without_weights) == (2, 0)
    return writer.in_memory(database, "there", "Lab A"), whole.getvalue()


def work(redis: Redis, study_id: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Train what is queued in this process until the study is done, and return the fingerprints in order."""
    # Otherwise the worker would measure how many stages to train side by side.
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", "1")
    settings.cache_clear()
    context, trained = Trainer(settings(), "cpu", Timing()).context, list[str]()
    while leases.counts(redis, study_id)["queued"]:
        fingerprint = next(k for k, s in leases.states(redis, leases.members(redis, study_id)).items() if s == "queued")
        attempt = int(str(redis.hget(f"{scripts.PREFIX}stage:{fingerprint}", "attempt")))
        message = Message(fingerprint, attempt)
        stage = leases.claim(redis, message, *context.place)
        assert stage is not None
        StageGroup(context).train(message, stage)
        trained.append(fingerprint)
        assert len(trained) < 20
    return trained


def test_weights_that_a_bundle_lacks_are_trained_again_where_a_later_training_needs_them(
    redis: Redis, bundles: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    without, _ = bundles
    import_bundle(settings(), io.BytesIO(without), "study.zip")
    root, first = planned(**ONESHOT).stages
    artifacts = Artifacts(settings().artifacts)
    assert artifacts.finished() == {root, first}
    assert artifacts.all_weights() == set()
    study_id = launch.launch(tiny_study(**{**ONESHOT, "sparsities": [0.5, 0.8]}))
    assert leases.counts(redis, study_id) == {"done": 2, "queued": 1}
    trained = work(redis, study_id, monkeypatch)
    new = (planned(**{**ONESHOT, "sparsities": [0.5, 0.8]}).stages.keys() - {root, first}).pop()
    # The later training misses its parent's weights; the other imported training is not needed.
    assert trained == [new, root, new]
    assert leases.counts(redis, study_id) == {"done": 3}
    recorder.drain_idle(settings())
    database = Database(settings().database)
    assert studies.study(database, study_id).state == "done"
    # On the same hardware, the parent has the same numbers; the recorded ones stay those of the import.
    assert results.origins(database, study_id)["stages"].sum() == 2
    again = import_bundle(settings(), io.BytesIO(without), "study.zip")
    assert (again.added, again.other) == (0, ())


def test_with_weights_nothing_is_trained_again(
    redis: Redis, bundles: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    without, whole = bundles
    import_bundle(settings(), io.BytesIO(without), "study.zip")
    # Weights may come later.
    done = import_bundle(settings(), io.BytesIO(whole), "study.zip")
    assert (done.added, done.with_weights) == (0, 2)
    root, first = planned(**ONESHOT).stages
    artifacts = Artifacts(settings().artifacts)
    saved = {(root, name) for name in ("initial", "rewind", "trained")} | {(first, "trained"), (first, "mask")}
    assert artifacts.all_weights() == saved
    for fingerprint, name in saved:
        packed = members(whole)[f"weights/{fingerprint}/{name}.safetensors"]
        assert seal_tensors(artifacts.load(fingerprint, name)) == packed
    study_id = launch.launch(tiny_study(**{**ONESHOT, "sparsities": [0.5, 0.8]}))
    assert len(work(redis, study_id, monkeypatch)) == 1


def test_weights_that_do_not_fit_are_refused_and_nothing_is_imported(
    redis: Redis, bundles: tuple[bytes, bytes]
) -> None:
    whole = bundles[1]
    _, first = planned(**ONESHOT).stages
    trained, mask = (f"weights/{first}/{name}.safetensors" for name in ("trained", "mask"))
    layer = "fc1.weight"

    def changed(name: str, **tensors: torch.Tensor) -> dict[str, bytes]:
        from data.artifacts.checksums import open_tensors

        return {name: seal_tensors({**open_tensors(members(whole)[name]), **tensors})}

    faulty = {
        "no safetensors": ({mask: b"\x80\x04cos\nsystem\n(S'touch trap'\ntR."}, mask),
        "a long header": ({mask: struct.pack("<Q", 2**62) + b"{}"}, mask),
        "a damaged one": ({trained: lambda data: data[:-1] + bytes([data[-1] ^ 1])}, "does not match its hash"),
        "another mask": (
            changed(mask, **{layer: torch.zeros(300, 64, dtype=torch.bool)}),
            "not the one that the result",
        ),
        "another shape": (changed(trained, **{layer: torch.zeros(300, 63)}), "or of another shape"),
        "weights under the mask": (changed(trained, **{layer: torch.ones(300, 64)}), "where the mask has none"),
        "numbers without end": (changed(trained, **{layer: torch.full((300, 64), torch.nan)}), "not finite"),
        "another type": (changed(mask, **{layer: torch.ones(300, 64)}), "allowed: torch.bool"),
        "a part": ({mask: None}, "a stage with this result has trained, mask"),
    }
    for changes, reason in faulty.values():
        with pytest.raises(BundleError, match=reason):
            import_bundle(settings(), io.BytesIO(rewritten(whole, changes)), "study.zip")
    assert Artifacts(settings().artifacts).all_files() == []
    assert leases.studies(redis) == []
    assert json.loads(members(whole)["manifest.json"])["lab"] == "Lab A"
