"""A bundle holds what was recorded, and one with a single faulty value is refused with the member and the reason."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.bundles.format import BundleError
from data.database.database import Database
from data.database.events import Event
from engine.study import plan as planning
from engine.study.results import Origin
from tests.data.bundles.made_bundles import edited, exported, members, read, rewritten
from tests.data.made_results import STUDY_ID, contents, diverging_results, made_plan, made_results

SMALL = {"pruners": ["iterative", "admm"], "learning_rates": [0.1], "seeds": [0], "sparsities": [0.5]}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle of seven stages, one of them ADMM."""
    return exported(Database(tmp_path_factory.mktemp("bundle") / "made.duckdb"), made_plan(**SMALL))


def member(content: bytes, kind: str) -> str:
    """Return the name of the result of a stage of some kind."""
    launched = json.loads(members(content)["launch.json"])
    return next(f"results/{stage['fingerprint']}.json" for stage in launched["stages"] if stage["kind"] == kind)


def test_all_that_was_recorded_comes_back(database: Database, tmp_path: Path) -> None:
    planned = made_plan()
    results = {**made_results(planned), **diverging_results(planned, rate=0.01)}
    bundle = read(exported(database, planned, results))
    assert bundle.stages == planned.stages
    assert bundle.finished == tuple(planned.stages)
    assert bundle.study == planned.study
    assert (bundle.study_id, bundle.lab) == (STUDY_ID, "Lab A")
    for fingerprint, result in results.items():
        there = bundle.result(fingerprint)
        assert replace(there, origin=None) == result
        assert there.origin == Origin(
            "Lab A", "laptop:7", "laptop", "cpu", "2026-11-23T10:01:02+00:00", "2026-11-23T10:01:09+00:00"
        )
    other = Database(tmp_path / "other.duckdb")
    other.ensure()
    bodies = [("launched", bundle.body)]
    bodies += [("result", {"fingerprint": key, "result": bundle.result(key).to_json()}) for key in bundle.finished]
    other.record([Event(f"1-{number}", kind, body) for number, (kind, body) in enumerate(bodies)])
    before, after = contents(database.path), contents(other.path)
    assert all(before[name] == after[name] for name in before if name not in ("states", "launches", "origins"))
    assert len(after["origins"]) == len(results)


def test_a_bundle_of_an_imported_result_keeps_where_it_was_trained(database: Database, tmp_path: Path) -> None:
    planned = made_plan(**SMALL)
    origin = Origin("Lab A", "gpu1:3", "gpu1", "cuda:0", imported_at="2026-11-24T10:00:00+00:00")
    results = {key: replace(result, origin=origin) for key, result in made_results(planned).items()}
    bundle = read(exported(database, planned, results, lab="Lab B"))
    assert {bundle.result(key).origin for key in bundle.finished} == {replace(origin, imported_at=None)}


def test_a_bundle_says_which_engine_made_it(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "ENGINE_VERSION", 7)
    bundle = read(content)
    assert bundle.archive.manifest.engine == 1
    assert all(stage.fingerprint != key for key, stage in bundle.stages.items())


def launch(change: Callable[[Any], Any]) -> dict[str, Callable[[bytes], bytes]]:
    return {"launch.json": edited(change)}


def stage(name: str, value: object, index: int = 0) -> dict[str, Callable[[bytes], bytes]]:
    return launch(lambda v: v["stages"][index].update({name: value}))


LAUNCHES = {
    "other settings": (stage("batch", 1), "launch.json"),
    "another seed": (stage("seed", 5), "its seed '5' is none of the study's"),
    "another rate": (stage("recipe", {"epochs": 5}), "other settings than its fingerprint says"),
    "a cheap fingerprint": (stage("fingerprint", "0" * 32), "other settings than its fingerprint says"),
    "no fingerprint": (launch(lambda v: v["stages"][0].pop("fingerprint")), "'fingerprint' is missing"),
    "a stage twice": (launch(lambda v: v["stages"].append(v["stages"][-1])), "is listed twice"),
    "no stages": (launch(lambda v: v.update(stages=[])), "lists no stages"),
    "children first": (launch(lambda v: v["stages"].reverse()), "is not listed before it"),
    "too many stages": (launch(lambda v: v.update(stages=[0] * 20_001)), "more than 20,000"),
    "a role of none": (launch(lambda v: v["roles"][0].update(fingerprint="0" * 32)), "launch.json"),
    "another point": (launch(lambda v: v["roles"][1].update(sparsity=0.9)), "another point than the stage"),
    "another pruner": (launch(lambda v: v["roles"][1].update(pruner="oneshot")), "none of the study's"),
    "a role with more": (launch(lambda v: v["roles"][0].update(extra=1)), "other keys than"),
    "reused of none": (launch(lambda v: v.update(reused=["0" * 32])), "none of the study's"),
    "no time": (launch(lambda v: v.update(at="yesterday")), "at"),
    "a list": ({"launch.json": b"[1]"}, "launch.json"),
    "deep": ({"launch.json": b"[" * 200_000}, "it is no JSON"),
}
STUDIES = {
    "another network": ({"study.toml": lambda text: text.replace(b"lenet300", b"my_net")}, "the network 'my_net'"),
    "other values": ({"study.toml": lambda text: text.replace(b"0.5", b"5.0", 1)}, "study.toml"),
    "no TOML": ({"study.toml": b"= 1"}, "study.toml"),
    "a long key": ({"study.toml": b"a" + b".a" * 1000 + b"=1"}, "parts"),
    "hidden text": ({"study.toml": lambda text: text.replace(b'"made"', '"ma\u202ede"'.encode())}, "invisible"),
}


@pytest.mark.parametrize(("changes", "reason"), [*LAUNCHES.values(), *STUDIES.values()], ids=[*LAUNCHES, *STUDIES])
def test_a_study_that_is_not_what_it_says_is_refused(content: bytes, changes: Any, reason: str) -> None:
    with pytest.raises(BundleError, match=reason) as refused:
        read(rewritten(content, changes))
    assert str(refused.value).startswith("study.zip")
    assert len(str(refused.value)) < 1000


def epochs(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    return edited(lambda values: change(values["epochs"]))


RESULTS: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "an accuracy of 200": ("retrain", epochs(lambda rows: rows[0].__setitem__(5, 200.0)), "between 0 and 100"),
    "an epoch less": ("retrain", epochs(lambda rows: rows.pop()), "its stage trains 3"),
    "an epoch twice": ("retrain", epochs(lambda rows: rows[1].__setitem__(0, 1)), "without gaps"),
    "a loss below 0": ("retrain", epochs(lambda rows: rows[0].__setitem__(4, -1.0)), "is below 0"),
    "text": ("retrain", epochs(lambda rows: rows[0].__setitem__(4, "low")), "finite number"),
    "another stage's": ("retrain", edited(lambda v: v.update(fingerprint="0" * 32)), "is the result of stage 0000"),
    "a sparsity of 2": ("retrain", edited(lambda v: v.update(sparsity=2.0)), "between 0 and 1"),
    "a mask": ("pretrain", edited(lambda v: v.update(mask="0" * 32)), "only a retraining has"),
    "residuals": ("pretrain", edited(lambda v: v.update(residuals=[0.5])), "only ADMM has"),
    "an unknown pair": ("pretrain", edited(lambda v: v["overlaps"][0].update(pair="x")), "unknown pair"),
    "a pair twice": ("pretrain", edited(lambda v: v.update(overlaps=v["overlaps"] * 2)), "a pair twice"),
    "more than all": ("pretrain", edited(lambda v: v["overlaps"][0]["counts"][2].__setitem__(0, 10**9)), "in common"),
    "a long lab": ("pretrain", edited(lambda v: v["origin"].update(lab="x" * 2000)), "lab"),
    "a lab with codes": ("pretrain", edited(lambda v: v["origin"].update(lab="\x1b[31m")), "cannot be printed"),
    "a time without zone": ("pretrain", edited(lambda v: v["origin"].update(started_at="2026-11-30")), "no zone"),
    "a time before time": (
        "pretrain", edited(lambda v: v["origin"].update(started_at="0001-01-01T00:00+23:59")), "out of range",
    ),
    "NaN": ("pretrain", lambda text: text.replace(b'"seconds": 4.5', b'"seconds": NaN'), "results/"),
    "deep": ("pretrain", lambda _: b"[" * 200_000, "results/"),
    "no JSON": ("pretrain", lambda _: b"\xff", "results/"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "reason"), RESULTS.values(), ids=RESULTS)
def test_a_result_that_its_stage_cannot_have_is_refused(
    content: bytes, kind: str, change: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        read(rewritten(content, {member(content, kind): change}))


def test_a_result_of_no_stage_and_weights_without_a_result_are_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="of no stage of the study"):
        read(rewritten(content, {f"results/{'0' * 32}.json": b"{}"}))
    name = member(content, "pretrain")
    weights = {name.replace("results", "weights").replace(".json", "/trained.safetensors"): b"", name: None}
    with pytest.raises(BundleError, match="its stage has no result"):
        read(rewritten(content, weights))


def test_the_name_of_a_lab_must_be_one_that_can_be_shown(database: Database) -> None:
    for lab, reason in (("x" * 81, "at most 80"), ("a\nb", "invisible"), ("\u3164", "shows nothing")):
        with pytest.raises(BundleError, match=reason):
            exported(database, made_plan(**SMALL), lab=lab)
    assert read(exported(database, made_plan(**SMALL), lab=" Åbo Akademi ")).lab == "Åbo Akademi"
