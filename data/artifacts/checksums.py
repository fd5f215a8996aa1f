"""Tensors and results as bytes with a hash of their content, which reveals damage."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

if TYPE_CHECKING:
    from torch import Tensor

# The functions for tensors import PyTorch late, because results are also read in processes without it.

METADATA = "__metadata__"
SEAL = "blake2b"


class Damaged(ValueError):
    """The bytes are incomplete, or not those that were written."""


def seal_tensors(tensors: Mapping[str, "Tensor"]) -> bytes:
    """Return tensors of any shape, dtype and device as a safetensors file with a hash of its content in its header."""
    from safetensors.torch import save as dump_tensors
    from torch import contiguous_format

    # safetensors accepts neither views that share memory nor other memory formats.
    plain = {key: tensor.detach().cpu().clone(memory_format=contiguous_format) for key, tensor in tensors.items()}
    header, data = _parts(dump_tensors(plain))
    seal = _hash(_canonical(header), data)
    text = json.dumps({METADATA: {SEAL: seal}, **header}, separators=(",", ":")).encode()
    # In this format the data must begin at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, data))


def open_tensors(content: bytes) -> "dict[str, Tensor]":
    """Return sealed tensors, on the CPU; Damaged where the hash does not match. A file without one is not checked."""
    from safetensors.torch import load as parse_tensors

    try:
        tensors = dict(parse_tensors(content))
    except SafetensorError as error:
        raise Damaged(str(error)) from error
    header, data = _parts(content)
    seal = header.pop(METADATA, {}).get(SEAL)
    if seal is not None and seal != _hash(_canonical(header), data):
        raise Damaged("its content does not match its hash")
    return tensors


def seal_values(values: Mapping[str, Any]) -> bytes:
    """Return plain values as JSON with their hash."""
    return json.dumps({**values, SEAL: _hash(_canonical(values))}, allow_nan=False).encode()


def open_values(content: bytes) -> dict[str, Any]:
    """Return sealed values; Damaged where the hash does not match. JSON without one is not checked."""
    try:
        values = dict(json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise Damaged(str(error)) from error
    seal = values.pop(SEAL, None)
    if seal is not None and seal != _hash(_canonical(values)):
        raise Damaged("its content does not match its hash")
    return values


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the header and the data of an undamaged safetensors file."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), memoryview(content)[8 + size :]


def _canonical(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def _hash(*parts: bytes | memoryview) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
