"""Bytes that know whether they are whole."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from data.artifacts.checksums import Damaged, open_tensors, open_values, seal_tensors, seal_values

TENSORS = {"a": torch.arange(12.0).reshape(3, 4), "mask": torch.tensor([True, False, True]), "b": torch.zeros(0)}
VALUES = {"fingerprint": "f", "epochs": [[1, 0.1, 0.25]], "versions": {"torch": "2"}}


def test_a_sealed_file_is_a_safetensors_file_like_any_other() -> None:
    sealed = seal_tensors(TENSORS)
    assert sealed == seal_tensors(dict(reversed(TENSORS.items())))
    for found in (load(sealed), open_tensors(sealed)):
        assert found.keys() == TENSORS.keys()
        assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_what_was_written_without_a_hash_is_still_read() -> None:
    assert torch.equal(open_tensors(save(TENSORS))["a"], TENSORS["a"])
    assert open_values(json.dumps(VALUES).encode()) == VALUES


@given(st.integers(0, len(seal_tensors(TENSORS)) - 1), st.integers(0, 7))
def test_a_single_bit_that_changed_is_found(place: int, bit: int) -> None:
    flipped = bytearray(seal_tensors(TENSORS))
    flipped[place] ^= 1 << bit
    try:
        found = open_tensors(bytes(flipped))
    except Damaged:
        return
    # The only bits that may change are those that mean nothing: padding, and the name of the hash itself.
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


@given(st.integers(0, len(seal_tensors(TENSORS)) - 1))
def test_a_file_cut_short_is_found(length: int) -> None:
    with pytest.raises(Damaged):
        open_tensors(seal_tensors(TENSORS)[:length])


@given(st.integers(0, len(seal_values(VALUES)) - 1))
def test_values_cut_short_are_found(length: int) -> None:
    with pytest.raises(Damaged):
        open_values(seal_values(VALUES)[:length])


def test_values_come_back_and_a_digit_that_changed_is_found() -> None:
    sealed = seal_values(VALUES)
    assert open_values(sealed) == VALUES
    with pytest.raises(Damaged, match="does not match its hash"):
        open_values(sealed.replace(b"0.25", b"0.26"))
