import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.compare.state import CompareState, change, decode, encode, from_query, to_query

IDS = ("0123abcdef", "0123abffff", "8899aabbcc", "finished-before")

names = st.text(min_size=1, max_size=12)
rates = st.floats(1e-9, 10, exclude_min=True)
fractions = st.floats(0.001, 0.999)
corners = st.floats(-1e6, 1e6)


def distinct(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, max_size=4, unique=True).map(tuple)


@st.composite
def states(draw: st.DrawFn) -> CompareState:
    fields = ["learning_rate", "start", "pruner", "network", "dataset", "study", "recipe"]
    panels, by = draw(st.permutations(fields))[:2]
    box = (*sorted(draw(st.tuples(corners, corners))), *sorted(draw(st.tuples(corners, corners))))
    return CompareState(
        studies=draw(distinct(st.sampled_from(IDS))),
        mode=draw(st.sampled_from(["accuracy", "sweep", "overlap"])),
        networks=draw(distinct(names)),
        datasets=draw(distinct(names)),
        pruners=draw(distinct(names)),
        learning_rates=draw(distinct(rates)),
        starts=draw(distinct(names)),
        panels=panels,
        by=by,
        measure=draw(st.sampled_from(["test_accuracy", "best_test_accuracy"])),
        spread=draw(st.sampled_from(["sd", "se", "ci", "range"])),
        quantity=draw(st.sampled_from(["accuracy", "below_dense"])),
        fit=draw(st.sampled_from(["near", "same", "each"])),
        axis=draw(st.sampled_from(["sparsity", "remaining"])),
        together=draw(st.sampled_from(["apart", "pooled"])),
        page=draw(st.integers(0, 999)),
        versus=tuple(draw(st.permutations(range(5)))[:2]),
        zoom=draw(st.sampled_from([None, box if box[0] < box[1] and box[2] < box[3] else None])),
        point=draw(st.sampled_from(["", "00ff00ff"])),
        pruner=draw(st.one_of(st.just(""), names)),
        sparsity=draw(st.one_of(st.none(), fractions)),
        p=draw(fractions),
        time=draw(st.sampled_from(["linear", "log"])),
        across=draw(st.sampled_from(["p", "learning_rate"])),
    )


@given(states())
def test_a_state_comes_back_from_its_address_exactly(state: CompareState) -> None:
    assert from_query(to_query(state, IDS), IDS) == (state, ())
    assert from_query(to_query(state), IDS) == (state, ())


@given(
    st.dictionaries(
        st.sampled_from(["s", "v", "lr", "z", "at", "by", "c", "p", "sp", "x", "pg", "vs", "??"]), st.text()
    )
)
def test_any_address_gives_a_state_that_can_be_written_again(params: dict[str, str]) -> None:
    state, _ = decode(params, IDS)
    assert set(state.studies) <= set(IDS)
    assert state.panels != state.by
    assert decode(encode(state, IDS), IDS) == (state, ())


def test_defaults_are_left_out_of_the_address() -> None:
    assert encode(CompareState(studies=("8899aabbcc",)), IDS) == {"s": "8899aa"}


def test_studies_are_named_by_their_shortest_unique_beginning() -> None:
    assert encode(CompareState(studies=IDS), IDS)["s"] == "0123abc~0123abf~8899aa~finish"


def test_an_unknown_study_is_reported_and_the_others_apply() -> None:
    state, problems = decode({"s": "gone00~8899aa", "b": "ci"}, IDS)
    assert (state.studies, state.spread) == (("8899aabbcc",), "ci")
    assert problems == ("Study “gone00” is not recorded here.",)


def test_a_beginning_that_several_studies_share_is_reported() -> None:
    state, (problem,) = decode({"s": "0123ab"}, IDS)
    assert state.studies == ()
    assert "2 studies begin with “0123ab”" in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v", "weights"),
        ("lr", "0.1~fast"),
        ("z", "1~2~3"),
        ("z", "5~1~0~9"),
        ("at", "<script>"),
        ("p", "nan"),
        ("pg", "-1"),
        ("vs", "1~1"),
    ],
)
def test_a_forged_value_is_reported_in_one_line_and_left_out(name: str, value: str) -> None:
    state, problems = decode({"s": "8899aa", name: value, "x": "remaining"}, IDS)
    assert state == CompareState(studies=("8899aabbcc",), axis="remaining")
    assert len(problems) == 1
    assert value in problems[0]


def test_panels_and_colours_never_have_the_same_field() -> None:
    state, (problem,) = decode({"by": "network", "c": "network"}, IDS)
    assert state.panels == "network"
    assert state.by != "network"
    assert "networks" in problem
    swapped = change(CompareState(), "by", "learning_rate")
    assert (swapped.panels, swapped.by) == ("start", "learning_rate")


def test_another_axis_drops_the_zoom_and_other_studies_the_point() -> None:
    state = CompareState(zoom=(0.0, 1.0, 2.0, 3.0), point="00ff00ff")
    assert change(state, "axis", "remaining") == CompareState(axis="remaining", point="00ff00ff")
    assert change(state, "studies", ("8899aabbcc",)).point == ""
    assert change(state, "spread", "ci").zoom == state.zoom


def test_numbers_are_written_without_loss() -> None:
    state = CompareState(learning_rates=(0.1 + 0.2, 1e-5), p=math.nextafter(0.3, 1))
    assert decode(encode(state), ())[0] == state
