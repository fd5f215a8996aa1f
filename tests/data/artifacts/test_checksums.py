"""Files that hold a hash of their content, so that damage is detected."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from data.artifacts.checksums import Damaged, open_tensors, open_values, seal_tensors, seal_values

TENSORS = {"a": torch.arange(12.0).reshape(3, 4), "mask": torch.tensor([True, False, True]), "b": torch.zeros(0)}
VALUES = {"fingerprint": "f", "epochs": [[1, 0.1, 0.25]], "versions": {"torch": "2"}}


def test_a_sealed_file_is_a_valid_safetensors_file() -> None:
    sealed = seal_tensors(TENSORS)
    assert sealed == seal_tensors(dict(reversed(TENSORS.items())))
    for tensors in (load(sealed), open_tensors(sealed)):
        assert tensors.keys() == TENSORS.keys()
        assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_files_without_a_hash_are_still_read() -> None:
    assert torch.equal(open_tensors(save(TENSORS))["a"], TENSORS["a"])
    assert open_values(json.dumps(VALUES).encode()) == VALUES


@given(st.integers(0, len(seal_tensors(TENSORS)) - 1), st.integers(0, 7))
def test_a_single_flipped_bit_is_detected(place: int, bit: int) -> None:
    flipped = bytearray(seal_tensors(TENSORS))
    flipped[place] ^= 1 << bit
    try:
        tensors = open_tensors(bytes(flipped))
    except Damaged:
        return
    # Only bits without a meaning may change: those of padding, and those of the name of the hash.
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@given(st.integers(0, len(seal_tensors(TENSORS)) - 1))
def test_a_truncated_file_is_detected(length: int) -> None:
    with pytest.raises(Damaged):
        open_tensors(seal_tensors(TENSORS)[:length])


@given(st.integers(0, len(seal_values(VALUES)) - 1))
def test_truncated_values_are_detected(length: int) -> None:
    with pytest.raises(Damaged):
        open_values(seal_values(VALUES)[:length])


def test_values_are_read_back_and_a_changed_digit_is_detected() -> None:
    sealed = seal_values(VALUES)
    assert open_values(sealed) == VALUES
    with pytest.raises(Damaged, match="does not match its hash"):
        open_values(sealed.replace(b"0.25", b"0.26"))
