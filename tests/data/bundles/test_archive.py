"""A zip that is no bundle is refused before anything in it is used, and costs neither memory nor time."""

import hashlib
import io
import json
import resource
import stat
import struct
import time
import warnings
import zipfile
from collections.abc import Iterator

import pytest

from data.bundles.format import BundleError
from data.database.database import Database
from tests.data.bundles.made_bundles import edited, exported, members, read, rewritten, zipped
from tests.data.made_results import made_plan

FINGERPRINT = "0" * 32


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    planned = made_plan(pruners=[], sparsities=[], starts=[], learning_rates=[0.1], seeds=[0])
    return exported(Database(tmp_path_factory.mktemp("bundle") / "made.duckdb"), planned)


def with_entry(content: bytes, info: zipfile.ZipInfo, data: bytes = b"") -> bytes:
    out = io.BytesIO(content)
    with zipfile.ZipFile(out, "a") as archive, warnings.catch_warnings():
        # Writing a member twice is a warning.
        warnings.simplefilter("ignore")
        archive.writestr(info, data)
    return out.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def manifest(content: bytes, **changes: object) -> bytes:
    return rewritten(content, {"manifest.json": edited(lambda values: values.update(changes))})


def bomb(content: bytes, size: int) -> bytes:
    """Return a bundle whose only table is zeros."""
    return rewritten(content, {"tables/epochs.parquet": bytes(size)})


def hostile(content: bytes) -> Iterator[tuple[str, bytes, str]]:
    yield "nothing", b"", "does not end as a bundle does"
    yield "text", b"hello" * 100, "does not end as a bundle does"
    yield "cut", content[:-100], "does not end as a bundle does"
    yield "another zip", zipped({"study.toml": b""}), "'manifest.json': it is missing, so this is no bundle"
    for name in (
        "../../etc/passwd",
        "/etc/passwd",
        "results/../x.json",
        f"results/{FINGERPRINT}.py",
        "C:\\x",
        "weights/",
    ):
        yield name, with_entry(content, zipfile.ZipInfo(name)), "no bundle has a member of this name"
    yield (
        "NUL in a name",
        with_entry(content, zipfile.ZipInfo("study.toml")).replace(b"tables/claims.parquet", b"tables/claims.parque\0"),
        "no bundle has a member of this name",
    )
    yield "a member twice", with_entry(content, zipfile.ZipInfo("study.toml")), "'study.toml': it is there twice"
    yield "a link", with_entry(content, link(f"results/{FINGERPRINT}.json"), b"/etc/passwd"), "a link or a folder"
    yield "one too many", with_entry(content, zipfile.ZipInfo(f"results/{FINGERPRINT}.json")), "does not list it"
    yield (
        "one too few",
        rewritten(content, {"tables/claims.parquet": None, "manifest.json": lambda data: data}),
        "missing",
    )
    yield (
        "a changed member",
        rewritten(content, {"study.toml": lambda t: t.replace(b"0.1", b"0.2"), "manifest.json": lambda data: data}),
        "does not match its hash",
    )
    yield "a bomb", bomb(content, 50_000_000), "times as many"
    yield "a large study", rewritten(content, {"study.toml": bytes(2_000_000)}), "'study.toml': it has 2,000,000 bytes"
    yield "a later format", manifest(content, format=2, ticketscope="9.0"), "has format 2 .* update it"
    yield "no format", manifest(content, format="x"), "manifest.json"
    yield "more in the manifest", manifest(content, other=1), "manifest.json"
    yield "an id that is a path", manifest(content, study_id="../x"), "manifest.json"
    yield "a lab with codes", manifest(content, lab="\x1b[2J"), "manifest.json"
    yield "an engine of 0", manifest(content, engine=0), "manifest.json"
    yield "a manifest that is a list", rewritten(content, {"manifest.json": b"[]"}), "manifest.json"
    yield "a deep manifest", rewritten(content, {"manifest.json": b"[" * 100_000}), "manifest.json"
    directory = content.rindex(b"PK\5\6")
    large = content[: directory + 12] + struct.pack("<I", 2**31) + content[directory + 16 :]
    yield "a list of members of 2 GB", large, "its list of members has 2,147,483,648 bytes"
    flags = bytearray(content)
    flags[content.rindex(b"PK\1\2") + 8] |= 1
    yield "encrypted", bytes(flags), "is encrypted"


def test_what_is_no_bundle_is_refused_with_its_name_and_the_reason(content: bytes) -> None:
    assert read(content).study.name == "made"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, data, reason in hostile(content):
        began = time.monotonic()
        with pytest.raises(BundleError, match=reason) as refused:
            read(data)
        assert str(refused.value).startswith("study.zip"), name
        assert len(str(refused.value)) < 800, name
        assert time.monotonic() - began < 2, name
    # In KiB; the limit is far below what the lists would take.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_every_member_has_its_size_and_hash_in_the_manifest(content: bytes) -> None:
    files = members(content)
    listed = json.loads(files.pop("manifest.json"))["members"]
    assert {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()} == {
        name: (about["size"], about["sha256"]) for name, about in listed.items()
    }
    assert {name.partition("/")[0] for name in files} == {"study.toml", "launch.json", "tables", "results"}
