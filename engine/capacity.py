"""How many trainings a device runs at once."""

from dataclasses import dataclass

# The most concurrent trainings on one GPU: PyTorch has 32 streams, and CUDA allows 32 queues for them.
STREAMS = 32


@dataclass(frozen=True)
class Capacity:
    """How many trainings of one shape run concurrently: the number that is fastest, and the most that fit."""

    fastest: int
    most: int
