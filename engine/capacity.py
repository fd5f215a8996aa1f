"""How many trainings a device takes at once."""

from dataclasses import dataclass

# The most trainings side by side on one GPU: PyTorch has 32 streams, and CUDA takes 32 queues for them.
STREAMS = 32


@dataclass(frozen=True)
class Capacity:
    """How many trainings of one shape: the number that is fastest, and the most that fit."""

    fastest: int
    most: int
