import multiprocessing
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from data.artifacts.checksums import seal_values
from data.artifacts.store import ArtifactError, Artifacts
from data.atomic import write_whole
from tests.data.made_results import made_plan, made_results, without_masks

ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture(params=["folder", "object store"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "saved") if request.param == "folder" else f"memory://{tmp_path.name}/saved")


def test_tensors_are_loaded_bit_for_bit(artifacts: Artifacts) -> None:
    base = torch.randn(6, 4, 3, 3)
    tensors = {
        "channels_last": base.to(memory_format=torch.channels_last),
        "view": base[1],
        "other view": base.transpose(0, 1),
        "mask": base > 0,
        "step": torch.tensor(7),
        "random": torch.get_rng_state(),
        "special": torch.tensor([float("nan"), float("-inf"), -0.0]),
        "half": base.bfloat16(),
        "empty": torch.empty(0, 3),
    }
    artifacts.save(ONE, "trained", tensors)
    loaded = artifacts.load(ONE, "trained")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        bits, expected = (t.flatten().view(torch.uint8) for t in (loaded[name], tensor))
        assert torch.equal(bits, expected)


def test_loaded_tensors_may_be_written_to(artifacts: Artifacts) -> None:
    artifacts.save(ONE, "initial", {"w": torch.zeros(3)})
    artifacts.load(ONE, "initial")["w"].add_(1)
    assert artifacts.load(ONE, "initial")["w"].sum() == 0


def test_saving_replaces_and_deleting_twice_is_harmless(artifacts: Artifacts) -> None:
    artifacts.save(ONE, "checkpoint", {"w": torch.zeros(3)})
    artifacts.save(ONE, "checkpoint", {"v": torch.ones(2)})
    assert list(artifacts.load(ONE, "checkpoint")) == ["v"]
    assert artifacts.exists(ONE, "checkpoint")
    assert not artifacts.exists(ONE, "mask")
    assert not artifacts.exists(TWO, "checkpoint")
    artifacts.delete(ONE, "checkpoint")
    artifacts.delete(ONE, "checkpoint")
    assert not artifacts.exists(ONE, "checkpoint")


def test_results_are_read_back_whole_and_mark_their_stage_finished(artifacts: Artifacts) -> None:
    results = made_results(made_plan())
    assert artifacts.finished() == set()
    for fingerprint, result in results.items():
        assert artifacts.result(fingerprint) is None
        artifacts.finish(fingerprint, result)
        assert artifacts.result(fingerprint) == result
    assert artifacts.finished() == set(results)


def test_results_of_another_writer_are_seen_at_once(artifacts: Artifacts) -> None:
    reader = Artifacts(artifacts.url)
    for fingerprint, result in list(made_results(made_plan()).items())[:3]:
        artifacts.finish(fingerprint, result)
        assert fingerprint in reader.finished()
        assert reader.result(fingerprint) == result


def test_the_error_for_missing_weights_names_them_and_what_to_do(artifacts: Artifacts) -> None:
    with pytest.raises(ArtifactError, match=f"no mask weights of stage {ONE} at .*launch the study again"):
        artifacts.load(ONE, "mask")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_refused(tmp_path: Path, keep: int) -> None:
    artifacts = Artifacts(str(tmp_path))
    artifacts.save(ONE, "trained", {"w": torch.randn(100)})
    path = tmp_path / "weights" / ONE / "trained.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=r"trained\.safetensors is damaged .*; remove .*results/1+\.json"):
        artifacts.load(ONE, "trained")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fingerprint": 3}'])
def test_a_damaged_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f"{ONE}.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"1+\.json is damaged"):
        Artifacts(str(tmp_path)).result(ONE)


def test_a_result_under_a_wrong_name_is_refused(artifacts: Artifacts) -> None:
    result = next(iter(made_results(made_plan()).values()))
    artifacts.finish(ONE, result)
    with pytest.raises(ArtifactError, match=f"is the result of stage {result.fingerprint}"):
        artifacts.result(ONE)


@pytest.mark.parametrize("fingerprint", ["", "..", "1" * 31, "1" * 33, "G" * 32, "../" + "1" * 29, "1" * 32 + "\n"])
def test_a_fingerprint_that_is_none_is_refused_before_it_becomes_a_path(artifacts: Artifacts, fingerprint: str) -> None:
    with pytest.raises(ValueError, match="is no fingerprint; allowed: 32 hex digits"):
        artifacts.load(fingerprint, "mask")
    with pytest.raises(ValueError, match="is no fingerprint"):
        artifacts.result(fingerprint)


@pytest.mark.parametrize("name", ["", "../mask", "Mask", "mask2", "mask\n"])
def test_a_name_of_weights_that_is_none_is_refused_before_it_becomes_a_path(artifacts: Artifacts, name: str) -> None:
    with pytest.raises(ValueError, match="is no name of weights; allowed: lower-case letters"):
        artifacts.save(ONE, name, {})


def test_other_files_among_the_results_are_ignored(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    for name in ("notes.txt", f".{ONE}.json.00ff.part", f"{TWO}.json.bak"):
        write_whole(tmp_path / "results" / name, b"{}")
    assert artifacts.finished() == set()


def test_a_url_that_nothing_can_open_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"cannot use 'nowhere://x' .*set TICKETSCOPE_ARTIFACTS"):
        Artifacts("nowhere://x")


def test_the_error_for_a_read_only_folder_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match=r"cannot write .*check space and rights"):
        Artifacts(str(tmp_path)).save(ONE, "mask", {"w": torch.zeros(1)})


def _save_for_ever(url: str, size: int) -> None:
    artifacts = Artifacts(url)
    for value in range(1_000_000):
        artifacts.save(ONE, "checkpoint", {"w": torch.full((size,), float(value))})


@pytest.mark.faults
def test_a_writer_killed_at_any_moment_leaves_old_or_new_weights_whole(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    artifacts.save(ONE, "checkpoint", {"w": torch.zeros(200_000)})
    spawn = multiprocessing.get_context("fork")
    for pause in (0.02, 0.05, 0.08, 0.11, 0.14):
        writer = spawn.Process(target=_save_for_ever, args=(str(tmp_path), 200_000))
        writer.start()
        time.sleep(pause)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        assert artifacts.load(ONE, "checkpoint")["w"].unique().numel() == 1
    result = next(iter(made_results(made_plan()).values()))
    artifacts.save(result.fingerprint, "trained", {"w": torch.zeros(1)})
    leftover = tmp_path / "weights" / result.fingerprint / ".trained.safetensors.0011.part"
    leftover.write_bytes(b"half")
    artifacts.finish(result.fingerprint, result)
    assert [path.name for path in leftover.parent.iterdir()] == ["trained.safetensors"]


def test_every_file_of_a_stage_is_listed_and_can_be_removed(artifacts: Artifacts) -> None:
    begin = time.time() - 2
    for fingerprint, result in made_results(made_plan()).items():
        artifacts.save(fingerprint, "trained", {"w": torch.zeros(3)})
        artifacts.finish(fingerprint, result)
    artifacts.save(ONE, "checkpoint", {"w": torch.zeros(3)})
    count = len(made_plan().stages)
    files = artifacts.all_files()
    assert Counter(file.kind for file in files) == {"result": count, "weights": count, "checkpoint": 1}
    assert {file.owner for file in files} == {*made_plan().stages, ONE}
    assert all(file.size > 0 and begin <= file.modified <= time.time() + 2 for file in files)
    removed, *others = [file for file in files if file.kind == "weights"]
    artifacts.remove([file for file in files if file.owner in (removed.owner, ONE)])
    assert {file.owner for file in artifacts.all_files()} == {file.owner for file in others}
    # Removing files that another process has removed already does no harm.
    artifacts.remove(files)
    assert artifacts.all_files() == []
    assert artifacts.finished() == set()
    assert Artifacts(artifacts.url + "/nowhere").all_files() == []


def test_a_result_without_a_mask_is_still_read(tmp_path: Path) -> None:
    planned = made_plan()
    fingerprint = next(f for f, stage in planned.stages.items() if stage.start == "finetune")
    old = without_masks(made_results(planned)[fingerprint])
    values = old.to_json()
    assert {len(overlap["counts"]) for overlap in values["overlaps"]} == {5}
    del values["mask"]
    path = tmp_path / "results" / f"{fingerprint}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(seal_values(values))
    assert Artifacts(str(tmp_path)).result(fingerprint) == old
