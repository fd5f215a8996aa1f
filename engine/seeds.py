"""Random streams that depend only on a study's seed and on their purpose."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose, independent of every other purpose of the same study seed."""
    words = "/".join(str(word) for word in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big") >> 1


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator, seeded by `derive`.

    Random numbers from the CPU make data order and augmentation the same on every device, and a stream that starts anew
    each epoch needs no saved generator state to resume.
    """
    return torch.Generator().manual_seed(derive(seed, *purpose))


@contextmanager
def global_seed(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed PyTorch's global CPU generator within the block, and put its state back afterwards.

    Initialisers of `torch.nn` can only use the global generator. The generators of GPUs in use are seeded too, because
    dropout uses them.
    """
    derived = derive(seed, *purpose)
    before = torch.default_generator.get_state()
    # `torch.manual_seed` would also save the seed and a stack trace for CUDA, which may never be used.
    torch.default_generator.manual_seed(derived)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(derived)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
