"""Generated studies, addresses and searches raise no errors but the intended ones.

FUZZ_CASES sets the number of cases per test; `make fuzz` runs for about an hour.
"""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import words
from app.compare.state import decode, encode, from_query, to_query
from app.new_study.draft import check, draft_of
from app.new_study.offers import offer
from data import shared_links
from data.database.database import Database
from data.queries import studies
from data.queries.studies import UnknownStudy
from engine.registry import STARTS
from engine.study import toml_limits
from engine.study.plan import plan
from engine.study.spec import TRAININGS_ALLOWED, Study, StudyError, parse_study, read_study, to_toml
from tests.app.made_study import record
from tests.machine import tiny_study
from tests.security.generated import CASES, TEXT, VALUE, assert_message, fuzz, mixed

PLAIN = tiny_study().model_dump(mode="json", exclude_none=True)
FIELDS = [
    *PLAIN,
    *(f"recipe.{name}" for name in PLAIN["recipe"]),
    *(f"admm.{name}" for name in PLAIN["admm"]),
    "parts",
    "x",
]
GOOD = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(min_size=1, max_size=100),
        "note": st.text(max_size=200),
        "datasets": st.lists(st.sampled_from(["digits", "cifar10", "folder:/x", "folder:y"]), min_size=1, max_size=3),
        "networks": st.lists(st.sampled_from(["lenet300", "resnet20"]), min_size=1, max_size=2),
        "learning_rates": st.lists(st.floats(1e-9, 10), min_size=1, max_size=4),
        "pruners": st.lists(st.sampled_from(["iterative", "oneshot", "admm", "random"]), max_size=4),
        "sparsities": st.lists(st.floats(0.001, 0.999), max_size=4).map(sorted),
        "starts": st.lists(st.sampled_from(list(STARTS)), max_size=4),
        "seeds": st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4),
        "overlap_p": st.lists(st.sampled_from([0.05, 0.1, 0.3, 0.1 + 0.2, 0.95]), min_size=1, max_size=3).map(sorted),
        "train_images": st.integers(1, 10**9),
        "recipe.epochs": st.integers(1, 10_000),
        "recipe.milestones": st.lists(st.floats(0.001, 0.999), max_size=4).map(sorted),
        "recipe.rewind_epoch": st.integers(1, 10_000),
        "parts": st.lists(
            st.fixed_dictionaries({}, optional={"seeds": st.lists(st.integers(0, 3), max_size=3)}), max_size=3
        ),
    },
)


def assert_sound(study: Study) -> None:
    """Assert that an accepted study reads back as it was written, and that its plan is within the limits."""
    written = to_toml(study)
    assert read_study(written) == study
    planned = plan(study, {name: f"identity of {name}" for name in study.datasets})
    assert 1 <= len(planned.stages) <= TRAININGS_ALLOWED
    assert all(stage.parent is None or stage.parent in planned.stages for stage in planned.stages.values())
    # The form strips its fields and takes one folder; it gives the same stages or an error.
    again = check(draft_of(study)).study
    if again is not None and not study.parts and len(study.datasets) == 1 and study.datasets == again.datasets:
        assert (
            plan(again, {name: f"identity of {name}" for name in study.datasets}).stages.keys() == planned.stages.keys()
        )


def assert_refused_or_sound(values: dict[str, Any]) -> None:
    """Assert that a study with some values changed is either refused with a message or sound."""
    try:
        study = parse_study(mixed(PLAIN, values))
    except StudyError as error:
        assert_message(error, 40_000)
        return
    assert_sound(study)


@fuzz
@given(GOOD)
def test_nearly_valid_studies_are_refused_or_sound(values: dict[str, Any]) -> None:
    assert_refused_or_sound(values)


@fuzz
@given(st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=4))
def test_studies_with_any_values_are_refused_or_sound(values: dict[str, Any]) -> None:
    assert_refused_or_sound(values)


_MARKS = ("=", '"', "'", '"""', "'''", "[", "]", "[[", "]]", "{", "}", ".", ",", "\n", "#", "\\", "_", "\t", "\r", "-")
_WORDS = ("name", "1", "1e9", "0x", "parts", "seeds", "recipe", "inf", "nan", "true", "2026-01-01", "datasets", "\\u")
TOKENS = st.sampled_from((*_MARKS, *_WORDS, "[parts]", "\u202e"))


@fuzz
@given(
    st.lists(TOKENS, max_size=60).map("".join)
    | st.text(max_size=300)
    | st.binary(max_size=200).map(lambda b: b.decode("latin-1"))
)
def test_toml_of_any_kind_is_refused_or_sound(text: str) -> None:
    for written in (text, to_toml(tiny_study()) + text, text + "\n" + to_toml(tiny_study())):
        try:
            assert_sound(read_study(written))
        except StudyError as error:
            assert_message(error, 40_000)
        # Text that Python's own reader accepts is refused for its limits alone.
        try:
            expected = tomllib.loads(written)
        except (ValueError, RecursionError):
            continue
        try:
            assert repr(toml_limits.read(written)) == repr(expected)
        except toml_limits.TomlError as error:
            assert "parts" in str(error)  # noqa: PT017


@fuzz
@given(
    st.dictionaries(
        st.sampled_from([*draft_of(tiny_study())]),
        TEXT | st.text(alphabet="0123456789/., ;e-", max_size=40),
        max_size=4,
    )
)
def test_text_in_the_form_gives_errors_or_a_sound_study(typed: dict[str, str]) -> None:
    draft = draft_of(tiny_study())
    texts = {name: text for name, text in typed.items() if isinstance(draft[name], str)}
    checked = check({**draft, **texts})
    assert checked.errors or checked.study
    for name in checked.errors:
        found = offer({**draft, **texts}, name)
        assert found is None or name not in check({**draft, **texts, name: found.text}).errors
    if checked.study:
        assert_sound(checked.study)


KNOWN = ["study-one", "study-two", "study~three", "st%7Eudy", "0123456789abcdef"]
KEYS = st.sampled_from(
    ["s", "v", "n", "d", "pr", "lr", "st", "by", "c", "m", "b", "x", "z", "at", "q", "sp", "p", "t", "a", ""]
)
NUMBERS = st.floats().map(repr) | st.integers().map(str)
ADDRESS = st.dictionaries(
    KEYS | TEXT, TEXT | st.sampled_from(KNOWN) | st.lists(NUMBERS | TEXT, max_size=5).map("~".join), max_size=6
)


@fuzz
@given(ADDRESS)
def test_addresses_of_the_compare_page_are_read_and_written_alike(params: dict[str, str]) -> None:
    state, problems = decode(params, KNOWN)
    assert set(state.studies) <= set(KNOWN)
    assert decode(encode(state, KNOWN), KNOWN) == (state, ())
    assert decode(encode(state), KNOWN) == (state, ())
    assert from_query(to_query(state, KNOWN), KNOWN) == (state, ())
    assert all(problem and len(problem) < 400 for problem in problems)


@fuzz
@given(st.text(max_size=300))
def test_query_strings_of_any_kind_are_read_and_written_alike(query: str) -> None:
    state, _ = from_query(query, KNOWN)
    assert from_query(to_query(state), KNOWN) == (state, ())


@fuzz
@given(TEXT, TEXT)
def test_searches_of_any_text_are_decided(query: str, text: str) -> None:
    assert isinstance(words.matches(query, text), bool)
    # A text matches itself, unless it has no words.
    assert words.matches(text, text) or any(word.strip("\u200b") for word in text.split())
    assert words.plain(query).replace("\\", "").replace("\u200b", "") == query.replace("\\", "").replace("\u200b", "")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with a study and a link to it."""
    database = Database(tmp_path_factory.mktemp("fuzz") / "ticketscope.duckdb")
    database.ensure()
    record(database, tiny_study(), study_id="study-one")
    shared_links.create(database, ["study-one"])
    return database


@settings(fuzz, max_examples=CASES // 10 or 20)
@given(TEXT)
def test_beginnings_of_ids_and_tokens_open_nothing_else(database: Database, text: str) -> None:
    assert shared_links.find(database, text) is None
    try:
        assert studies.find_study(database, text) == "study-one"
        assert "study-one".startswith(text)
    except UnknownStudy:
        assert not "study-one".startswith(text)
