"""The benchmark of a GPU: its minutes, what fits into them, continuing after a kill, its report, what it carries."""

import importlib.metadata
import json
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import goals, marked
from benchmarks.fixtures import images
from benchmarks.gpu import carried, child, design, figure, finish, kernels, parts, speeds
from benchmarks.gpu.clock import SHARES, Clock
from benchmarks.gpu.design import LADDER, Design, Speed, fitting
from benchmarks.gpu.record import OtherRun, Record
from benchmarks.wheels import pins
from data.artifacts.store import Artifacts
from data.bundles import contents

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


class At:
    """A clock that stands at a moment."""

    moment = 100.0

    def __call__(self) -> float:
        return self.moment


@pytest.mark.parametrize("minutes", [0.5, 3, 10, 120])
def test_the_parts_share_the_minutes_and_leave_time_for_the_end(minutes: float) -> None:
    at = At()
    clock = Clock(minutes, list(SHARES), at)
    moments = [clock.until(part) for part in SHARES]
    assert at.moment < moments[0] < moments[1] < moments[2] < clock.end == at.moment + 60 * minutes
    assert 15 <= clock.end - moments[2] <= 40
    at.moment = moments[0]
    # What one part leaves is its followers', and the moments of these stay.
    assert [clock.until(part) for part in SHARES] == moments
    at.moment = clock.end + 5
    assert clock.left() == 0
    assert speeds.fair(["a", "b", "c", "d"], 140.0, 100.0) == 110.0
    assert speeds.fair(["d"], 100.0, 140.0) == 140.0
    assert Clock(minutes, ["figure"], at).until("figure") > at.moment


def test_more_time_trains_more_of_the_figure_and_never_more_than_fits() -> None:
    speed = Speed(alone=0.2, beside=0.12, together=16)
    sizes = []
    for seconds in (10, 400, 1_000, 4_000, 20_000, 10**6):
        chosen = fitting(speed, 150, seconds)
        sizes.append(len(chosen.sparsities) * chosen.seeds)
        assert chosen.seconds(speed, 150) <= seconds or chosen == Design(*LADDER[-1], 1)
        assert chosen.seeds >= design.LEAST_SEEDS or chosen.sparsities == LADDER[-1][0]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 12 * design.PAPER_SEEDS
    # Nothing is guessed where no speed was measured.
    assert fitting(None, 150, 10**6) == Design(*LADDER[-1], 1)
    # Five networks in groups of four take the time of two groups, and one alone is not faster than one alone.
    assert Speed(1.0, 0.5, 4).wave(5) == pytest.approx(2.0 + 1.0)


def test_gaps_are_the_time_in_which_no_stream_has_a_kernel() -> None:
    names = ["a", "b", "Memcpy DtoD", "a"]
    spans = [(0.0, 10.0), (5.0, 20.0), (30.0, 40.0), (50.0, 60.0)]
    found = kernels.summary(names, spans, steps=2)
    assert (found["kernels"], found["copies"]) == (1.5, 0.5)
    assert found["milliseconds"] == pytest.approx(0.03)
    assert found["busy_milliseconds"] == pytest.approx(0.02)
    assert found["idle_share"] == pytest.approx(1 / 3)
    assert found["gap_microseconds"] == pytest.approx(10.0)
    assert next(iter(found["longest"])) == "a"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of small images of two classes that differ in brightness."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 8)):
        for label, name in enumerate(("dark", "light")):
            place = tmp_path / "data" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 120, (8, 8, 3)) + 120 * label
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path / "data"


class Cut(Exception):
    """The parent dies."""


def test_a_figure_that_was_killed_is_continued_and_reported(
    home: Path, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    out = tmp_path / "out"
    task: dict[str, Any] = {
        **{"images": f"folder:{pictures}", "home": str(home), "train": None, "test": None, "device": "cpu"},
        **{"epochs": 1, "precision": "fp32", "together": None, "most_seeds": 2},
        **{"design": Design((0.5,), None, 1).to_json(), "file": str(out / "figure.json")},
        "artifacts": str(tmp_path / "artifacts"),
    }

    def dies(value: dict[str, Any]) -> None:
        if value.get("line", "").startswith("done"):
            raise Cut

    begin = time.monotonic()
    with pytest.raises(Cut):
        child.start("figure", task, tmp_path / "work", lambda: begin + 120, dies)
    store = Artifacts(task["artifacts"])
    before = {key: result.to_json() for key in store.finished() if (result := store.result(key)) is not None}
    assert 0 < len(before) < 8
    assert json.loads((out / "figure.json").read_text())["results"].keys() <= before.keys()

    lines = tmp_path / "lines"
    monkeypatch.setattr(sys, "argv", ["figure", "", str(lines)])
    figure.train(task)
    said = [json.loads(line) for line in lines.read_text().splitlines()]
    # The seconds of a result differ from training to training, so an equal one was not trained again.
    after = json.loads((out / "figure.json").read_text())["results"]
    assert {key: after[key] for key in before} == before
    assert len(after) == 16
    assert sum("done:" in value.get("line", "") for value in said) == 16 - len(before)
    assert [value["seeds"] for value in said if value.get("done", 0) == value.get("of")] == [1, 2]

    record = Record(out)
    record.put({"design": task["design"], **task, **said[-1]}, "figure")
    planned, results = finish.opened(out / "figure.json")
    record.put(finish.accuracies(planned, results), "end", "accuracies")
    database = finish.record(planned, results, tmp_path / "figure.duckdb")
    lines.unlink()
    for make in (finish.bundle, finish.verdicts, finish.pictures):
        make(database, out)
    for line in lines.read_text().splitlines():
        for name, value in json.loads(line).items():
            record.put(value, "end", name)
    with (out / finish.BUNDLE).open("rb") as file:
        bundle = contents.read(file, finish.BUNDLE)
        bundle.check()
        assert set(bundle.finished) == after.keys()
    assert {row["claim"] for row in record.get("end", "verdicts")} >= {"A1", "A2", "A3", "C1"}
    assert [(out / name).read_text()[:4] for name in record.get("end", "pictures")] == ["<svg"] * 2
    text = (out / "report.md").read_text()
    for row in record.get("end", "accuracies"):
        assert f"| {row['learning_rate']:g} | {row['sparsity']:.1%} | {row['start']} | {row['mean']:.2f} |" in text
    assert text.count("| not measured |") == len(goals.GOALS)
    assert "report could not be made" not in text


def test_measured_cases_are_kept_and_failed_ones_are_measured_again(home: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    dataset, record = images("digits32", home, 64, 20), Record(tmp_path / "run")
    record.put(
        {"kind": "cpu", "date": "2026-12-01", "device": "cpu", "cores": 2, "cpu": "a CPU", "torch": "2", "python": "3"},
        "setup",
    )
    record.require({"train_images": 64, "test_images": 20, "epochs": 2})
    for case in parts.cases("lenet300", 2):
        if case["kind"] != "plain" and case["precision"] == "fp32":

            def put(values: dict[str, Any], case: dict[str, Any] = case) -> None:
                record.put({**case, **values}, "cases", case["key"])

            speeds.KINDS[case["kind"]](case, dataset, CPU, time.monotonic(), put)
    failing = next(case for case in parts.cases("lenet300", 2) if case["precision"] == "bf16")
    record.put({**failing, "failed": "no time was left"}, "cases", failing["key"])
    again = Record(tmp_path / "run")
    measured = [case["key"] for case in parts.cases("lenet300", 2) if parts._is_measured(again, case["key"])]
    assert len(measured) == 4
    assert failing["key"] not in measured
    found = parts.speed(again, "lenet300", "fp32")
    assert found is not None
    assert 0 < found.beside <= found.alone
    assert parts.speed(again, "lenet300", "bf16") is None
    text = (tmp_path / "run" / "report.md").read_text()
    assert re.search(r"\| lenet300 \| fp32 \| 2 \| \d+\.\d{3} \(", text)
    assert f"- no time was left: {failing['key']}" in text
    # Numbers of a CPU are not compared with goals for a GPU.
    assert text.count("| not measured |") == len(goals.GOALS)
    with pytest.raises(OtherRun, match=r"has results with epochs 2, and this run has 150; give another --out"):
        again.require({"epochs": 150})


def test_goals_are_compared_with_the_faster_precision_per_epoch_of_cifar() -> None:
    def case(kind: str, network: str, together: int, seconds: float) -> dict[str, Any]:
        return {"kind": kind, "network": network, "together": together, "seconds_per_epoch": {"median": seconds}}

    rows = [
        *(
            case("engine", "resnet20", 1, 0.05),
            case("engine", "resnet20", 1, 0.04),
            case("engine", "resnet20", 16, 0.02),
        ),
        *(case("plain", "resnet20", 1, 0.5), {"kind": "engine", "network": "vgg11", "together": 1, "failed": "no"}),
    ]
    values = {"settings": {"train_images": 12_500}, "cases": dict(enumerate(rows)), "end": {"paper_hours": 80.0}}
    found = goals.measured(values)
    assert found == pytest.approx(
        {"alone/resnet20": 0.16, "beside/resnet20": 0.08, "ratio/resnet20": 25.0, "hours": 80.0}
    )
    outcomes = {
        line.split(" | ")[0].strip("| "): line.split(" | ")[3].strip(" |") for line in goals.table(found, "")[2:]
    }
    assert outcomes["ResNet-20, alone"] == outcomes["ResNet-20 against the plain loop"] == "met"
    assert outcomes["all figures of the paper, `paper:all`"] == "missed"
    assert outcomes["VGG-11, alone"] == ""


def test_the_document_for_teams_has_the_goals_and_what_of_them_is_measured() -> None:
    document = goals.TEAM.read_text(encoding="utf-8")
    assert marked.updated(document, goals.BEGIN, goals.END, goals.table(*goals.latest())) == document


def test_what_training_imports_is_carried() -> None:
    code = (
        "import sys, benchmarks.gpu.figure, benchmarks.gpu.images, benchmarks.gpu.speeds; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    packages = importlib.metadata.packages_distributions()
    needed = {carried._plain(name) for module in printed.split() for name in packages.get(module, ())}
    with_torch = {"torch", *(re.split(r"[^\w.-]", line)[0] for line in importlib.metadata.requires("torch") or ())}
    have = {carried._plain(name) for name in (*carried.GROUPS["training and measuring"], *with_torch)}
    assert needed - have <= {"setuptools"}
    pinned = {carried._plain(name) for name, _ in pins((ROOT / "constraints.txt").read_text())}
    assert {carried._plain(name) for group in carried.GROUPS.values() for name in group} <= pinned


def test_wheels_are_unpacked_once_into_a_folder_to_import_from(tmp_path: Path) -> None:
    wheels, work = tmp_path / "wheels", tmp_path / "work"
    wheels.mkdir()
    with pytest.raises(FileNotFoundError, match="--carry"):
        carried.unpacked(wheels, work)
    with zipfile.ZipFile(wheels / "made-1-py3-none-any.whl", "w") as archive:
        archive.writestr("made/__init__.py", "x = 1")
    folder = carried.unpacked(wheels, work)
    (folder / "made" / "__init__.py").write_text("x = 2")
    assert carried.unpacked(wheels, work) == folder
    assert (folder / "made" / "__init__.py").read_text() == "x = 2"


def test_a_process_that_does_not_end_in_time_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    log = tmp_path / "log"
    begin = time.monotonic()
    ended = child.run([sys.executable, "-c", code], log, lambda: begin + 1.0)
    assert ended.code is None
    assert ended.seconds < 10
    assert not Path(f"/proc/{int(log.read_text())}/cwd").exists()
    failed = child.run([sys.executable, "-c", "raise SystemExit('no such thing')"], log, lambda: begin + 60)
    assert failed.why == "failed: no such thing"
