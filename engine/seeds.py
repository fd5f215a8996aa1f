"""Random streams that depend on nothing but a study's seed and what they are used for."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose, independent of every other purpose of the same study seed."""
    words = "/".join(str(word) for word in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big") >> 1


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator at the start of the stream that `derive` names.

    Drawing on the CPU keeps data order and augmentation the same on every device, and a stream that starts anew each
    epoch needs no stored generator state to resume.
    """
    return torch.Generator().manual_seed(derive(seed, *purpose))


@contextmanager
def global_seed(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed PyTorch's global CPU generator within the block, and put its state back afterwards.

    Initialisers of `torch.nn` draw from the global generator and take no other. The generators of GPUs in use are
    seeded too: dropout draws from them.
    """
    drawn = derive(seed, *purpose)
    before = torch.default_generator.get_state()
    # `torch.manual_seed` also notes the seed, with a stack trace, for a CUDA that may never be used.
    torch.default_generator.manual_seed(drawn)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(drawn)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
