"""Datasets reach other hosts through the artifact store: once, whole, and only those that a study names."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.artifacts.store import Artifacts
from data.datasets import cache, registry
from data.datasets.loading import load, load_images, share
from data.datasets.registry import DatasetError, identity
from engine.study.plan import Images
from tests.machine import folder_of_images


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(f"memory://{tmp_path.name}/saved")


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """The images of a folder that only the launching host has."""
    name = f"folder:{folder_of_images(tmp_path / 'flowers')}"
    return Images(name=name, identity=identity(name, tmp_path / "here"))


def put(artifacts: Artifacts, content: str, file: Path) -> None:
    artifacts.save_dataset(content, file)


def test_a_host_without_the_folder_trains_on_the_same_images(
    artifacts: Artifacts, images: Images, tmp_path: Path
) -> None:
    steps: list[str] = []
    share(images, tmp_path / "here", artifacts, lambda what, done, total: steps.append(what))
    assert [text.split()[0] for text in steps] == ["reading", "copying"]
    launching = load_images(images.model_copy(update={"train": 30}), tmp_path / "here", artifacts=artifacts)
    (tmp_path / "flowers").rename(tmp_path / "elsewhere")
    other_host = load_images(images.model_copy(update={"train": 30}), tmp_path / "there", artifacts=artifacts)
    for name in cache.NAMES:
        assert torch.equal(getattr(launching, name), getattr(other_host, name))
    assert launching.classes == other_host.classes
    # The other host has a copy now and does not ask the artifact store again.
    load_images(images, tmp_path / "there", artifacts=Artifacts("memory://nowhere"))
    assert not list((tmp_path / "there").rglob("*.part"))


def test_a_folder_with_other_content_is_not_used(artifacts: Artifacts, images: Images, tmp_path: Path) -> None:
    share(images, tmp_path / "here", artifacts)
    before = load_images(images, tmp_path / "here")
    next((tmp_path / "flowers" / "train" / "dark").iterdir()).unlink()
    with pytest.raises(DatasetError, match="holds other images than when the study was launched"):
        load_images(images, tmp_path / "there")
    assert torch.equal(load_images(images, tmp_path / "there", artifacts=artifacts).train_images, before.train_images)


def test_a_shared_dataset_is_not_read_or_copied_again(artifacts: Artifacts, images: Images, tmp_path: Path) -> None:
    share(images, tmp_path / "here", artifacts)
    steps: list[str] = []
    share(images, tmp_path / "another home", artifacts, lambda what, done, total: steps.append(what))
    assert steps == []
    assert not (tmp_path / "another home").exists()


def test_datasets_are_copied_only_where_a_remote_host_lacks_them(images: Images, tmp_path: Path) -> None:
    folder = Artifacts(str(tmp_path / "artifacts"))
    share(images, tmp_path / "here", folder)
    assert not (tmp_path / "artifacts").exists()
    remote = Artifacts(f"memory://{tmp_path.name}/digits")
    digits = Images(name="digits", identity=identity("digits", tmp_path))
    share(digits, tmp_path / "here", remote)
    assert not remote.has_dataset(digits.identity)


def as_earlier(file: Path) -> None:
    """Rewrite a cached dataset as earlier versions wrote it, without identity and hash."""
    save_file(load_file(file), file, metadata={"classes": '["dark", "light"]'})


def flip(file: Path) -> None:
    """Change one bit of a file's last byte, which belongs to an image or a label."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_cached_file_of_an_earlier_version_gets_a_hash_before_it_is_shared(
    artifacts: Artifacts, images: Images, tmp_path: Path
) -> None:
    load(images.name, tmp_path / "here")
    [file] = (tmp_path / "here" / "datasets").glob("*.safetensors")
    as_earlier(file)
    share(images, tmp_path / "here", artifacts)
    (tmp_path / "flowers").rename(tmp_path / "elsewhere")
    assert load_images(images, tmp_path / "there", artifacts=artifacts).classes == ("dark", "light")


def test_a_cached_file_of_an_earlier_version_counts_and_is_guarded_from_then_on(images: Images, tmp_path: Path) -> None:
    dataset = load(images.name, tmp_path)
    [file] = (tmp_path / "datasets").glob("*.safetensors")
    as_earlier(file)
    (tmp_path / "flowers" / "train" / "light" / "0.png").rename(tmp_path / "0.png")
    assert torch.equal(cache.load(file, images.identity).train_images, dataset.train_images)  # type: ignore[union-attr]
    flip(file)
    with pytest.raises(cache.CacheDamaged, match="do not match their hash"):
        cache.load(file, images.identity)


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "other"])
def test_a_damaged_cached_file_is_made_anew(images: Images, tmp_path: Path, how: str) -> None:
    dataset = load(images.name, tmp_path)
    [file] = (tmp_path / "datasets").glob("*.safetensors")
    whole = file.read_bytes()

    def spoil() -> None:
        if how == "flipped":
            flip(file)
        elif how == "other":
            cache.save(dataset, "0" * 32, file)
        else:
            file.write_bytes(whole[:-7] if how == "cut" else b"")

    spoil()
    assert torch.equal(load(images.name, tmp_path).test_labels, dataset.test_labels)
    assert cache.load(file, images.identity) is not None
    spoil()
    root = tmp_path / "flowers"
    first = sorted(root.glob("*/*/*.png"))[0]
    status = first.stat()
    first.write_bytes(bytes(status.st_size))
    # With its size and time, the file counts as unchanged, so that only reading it shows the damage.
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DatasetError, match=rf"^{file} .*, and cannot be made anew: .*0\.png is no image"):
        load(images.name, tmp_path)


def test_a_damaged_cached_file_is_fetched_anew(artifacts: Artifacts, images: Images, tmp_path: Path) -> None:
    share(images, tmp_path / "here", artifacts)
    (tmp_path / "flowers").rename(tmp_path / "elsewhere")
    there = tmp_path / "there"
    dataset = load_images(images, there, artifacts=artifacts)
    [file] = (there / "datasets").glob("*.safetensors")
    flip(file)
    assert torch.equal(load_images(images, there, artifacts=artifacts).test_labels, dataset.test_labels)
    assert len(cache.load(file, images.identity).classes) == 2  # type: ignore[union-attr]


def test_a_damaged_or_swapped_copy_is_refused(artifacts: Artifacts, images: Images, tmp_path: Path) -> None:
    share(images, tmp_path / "here", artifacts)
    (tmp_path / "flowers").rename(tmp_path / "elsewhere")
    [file] = (tmp_path / "here" / "datasets").glob("*.safetensors")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    other = tmp_path / "other.safetensors"
    digits = load_images(Images(name="digits", identity=identity("digits", tmp_path)), tmp_path)
    cache.save(digits, "0" * 32, other)
    unmarked = tmp_path / "unmarked.safetensors"
    cache.save(digits, images.identity, unmarked)
    swapped = unmarked.read_bytes().replace(b'"content":"', b'"c0ntent":"')
    for content, reason in (
        (whole[:-100], "damaged"),
        (bytes(flipped), "do not match their hash"),
        (other.read_bytes(), "holds other images"),
        (swapped, "do not match their hash"),
        (b"", "damaged"),
    ):
        bad = tmp_path / "bad"
        bad.write_bytes(content)
        put(artifacts, images.identity, bad)
        with pytest.raises(DatasetError, match=rf"no folder at .*is faulty: .*{reason}.*launch"):
            load_images(images, tmp_path / "there", artifacts=artifacts)
        assert not list((tmp_path / "there" / "datasets").glob("*.safetensors"))


def test_the_error_for_images_that_are_nowhere_says_what_to_do(
    artifacts: Artifacts, images: Images, tmp_path: Path
) -> None:
    (tmp_path / "flowers").rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"no folder at .*flowers.*holds no copy of folder:.*launch the study again"):
        load_images(images, tmp_path / "there", artifacts=artifacts)


def no_network(folder: Path, progress: object) -> object:
    raise DatasetError("cannot download")


def test_a_download_that_fails_is_replaced_by_the_copy_in_the_artifact_store(
    artifacts: Artifacts, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_images(images, tmp_path / "here")
    source = registry.Source(
        "Far", "", "ab" * 16, registry.DATASETS["digits"].shape, f"{__name__}:no_network", version=1
    )
    monkeypatch.setitem(registry.DATASETS, "far", source)
    far = Images(name="far", identity="ab" * 16)
    with pytest.raises(DatasetError, match=r"holds no copy of far .*; and cannot download"):
        load_images(far, tmp_path / "there", artifacts=artifacts)
    file = tmp_path / "far.safetensors"
    cache.save(dataset, far.identity, file)
    put(artifacts, far.identity, file)
    assert torch.equal(load_images(far, tmp_path / "there", artifacts=artifacts).test_images, dataset.test_images)


@pytest.mark.parametrize("content", ["", "../" + "0" * 29, "G" * 32])
def test_an_identity_that_is_no_hash_is_refused_before_it_becomes_a_path(
    artifacts: Artifacts, tmp_path: Path, content: str
) -> None:
    with pytest.raises(DatasetError, match="is no hash of images"):
        load_images(Images(name="cifar10", identity=content), tmp_path, artifacts=artifacts)
