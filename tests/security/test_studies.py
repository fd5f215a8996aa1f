"""Hostile studies are refused with a message, at once and without taking memory."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.new_study.draft import check, draft_of
from engine.study import toml_limits
from engine.study.spec import Study, StudyError, load_study, parse_study, read_study, to_toml
from tests.machine import tiny_study

HEAD = 'name = "a"\ndatasets = ["digits"]\nnetworks = ["lenet300"]\n'


def bombs() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "lists in lists", lambda: "a = " + "[" * 90_000
    yield "tables in tables", lambda: "a = " + "{a=" * 50_000
    yield "a key of many parts", lambda: ".".join(["a"] * 90_000) + " = 1"
    yield "a quoted key of many parts", lambda: ".".join(['"a"'] * 40_000) + " = 1"
    yield "a spaced key of many parts", lambda: "  .  ".join(["a"] * 20_000) + " = 1"
    yield "a heading of many parts", lambda: "[" + ".".join(["a"] * 90_000) + "]"
    yield "a key of many parts within", lambda: "a = {" + ".".join(["a"] * 90_000) + " = 1}"
    yield "a long word", lambda: "a" * 199_000
    yield "open quotes", lambda: "'" * 100_001
    yield "open text", lambda: '"' * 199_999
    yield "a number of many digits", lambda: f"seeds = [{'9' * 150_000}]"
    yield "a hexadecimal one", lambda: f"seeds = [0x{'f' * 150_000}]"
    yield "many keys", lambda: "\n".join(f"k{i} = 1" for i in range(15_000))
    yield "ten megabytes", lambda: f'note = "{"x" * 10_000_000}"'
    yield "many parts", lambda: "[[parts]]\n" * 19_000
    yield "many seeds", lambda: f"seeds = {list(range(30_000))}"
    yield "many rates", lambda: f"learning_rates = {[(1 + i) / 1e5 for i in range(10_000)]}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in bombs()])
def test_a_hostile_text_is_refused(text: Callable[[], str]) -> None:
    written = HEAD + text()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StudyError) as refused:
        read_study(written)
    assert 10 < len(str(refused.value)) < 40_000
    # The limit is in KiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_harmless_texts_that_resemble_hostile_ones_are_read() -> None:
    note = "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22 and \" ' # \"\"\" ''' " + "a." * 50
    for changes in ({"note": note}, {"name": note[:100]}):
        study = tiny_study(**changes)
        assert read_study(to_toml(study)) == study


@pytest.mark.parametrize("seeds", [range(10_000), range(1_000)])
def test_an_enormous_plan_is_refused_before_it_is_made(seeds: range) -> None:
    many = {"learning_rates": [0.1 / (1 + i) for i in range(50)], "seeds": list(seeds)}
    with pytest.raises(StudyError, match=r"would take about [\d,]+ trainings; allowed: 20,000.*Leave out"):
        tiny_study(**many)
    # Parts do not evade the limit.
    with pytest.raises(StudyError, match="allowed: 20,000"):
        tiny_study(**many, parts=[{"learning_rates": [0.1]}] * 100)
    # Parts with few trainings in all are accepted.
    few = [{"learning_rates": [0.1], "seeds": [0, 1]}] * 3
    assert len(tiny_study(**{**many, "seeds": list(range(100))}, parts=few).parts) == 3


UNSEEN = ["\0", "\n", "\x1b[31m", "\x7f", "\u202e", "\u2067", "\u2028", "\ud800"]


@pytest.mark.parametrize("letter", UNSEEN, ids=ascii)
def test_names_with_invisible_characters_are_refused(letter: str) -> None:
    for changes in ({"name": f"a{letter}b"}, {"datasets": [f"folder:/data/{letter}"]}):
        with pytest.raises(StudyError, match=r"contains the invisible character .*; leave it out|valid string"):
            tiny_study(**changes)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc", "نص", "𝔘", "CON", "a" * 100, "<b>", "; rm -rf ~"])
def test_any_other_name_of_a_study_is_accepted(name: str) -> None:
    assert read_study(to_toml(tiny_study(name=name))).name == name


@pytest.mark.parametrize("values", [[], "x", 5, None, {"": 1}, {"recipe": []}, {"parts": 5}, {"x" * 10**6: 1}], ids=str)
def test_values_that_are_no_study_are_refused(values: object) -> None:
    with pytest.raises(StudyError) as refused:
        parse_study(values)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 5_000


def test_pipes_devices_and_huge_files_are_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), Path("/dev/stdin"), tmp_path):
        with pytest.raises(StudyError, match="is no file"):
            load_study(path)
    for path in (tmp_path / ("x" * 5_000), Path("a\0b")):
        with pytest.raises(StudyError):
            load_study(path)
    large = tmp_path / "large.toml"
    with large.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(StudyError, match=f"allowed: {toml_limits.CHARACTERS:,}"):
        load_study(large)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("seeds", "1 " * 50_000),
        ("seeds", ", ".join(map(str, range(4_000)))),
        ("learning_rates", "9" * 5_000 + "/3"),
        ("learning_rates", "1/" + "9" * 400),
        ("sparsities", "0/0, 1/0"),
        ("name", "a\0b"),
        ("note", "x" * 1_000_000),
        ("recipe.epochs", "9" * 5_000),
        ("train_images", "9" * 500),
        ("folder", "x" * 100_000),
        ("folder", "\0"),
        ("overlap_p", "nan, inf, 1e999"),
    ],
)
def test_hostile_text_in_the_form_is_refused_at_its_field(field: str, text: str) -> None:
    study: Study = tiny_study()
    checked = check({**draft_of(study), field: text})
    assert checked.study is None
    assert {"folder": "datasets"}.get(field, field) in checked.errors or field in checked.errors or "" in checked.errors
    assert all(len(message) < 1_000 for message in checked.errors.values())
