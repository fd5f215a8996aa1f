"""How many trainings a device takes at once."""

from dataclasses import dataclass

# Side by side on one GPU, at most: PyTorch has so many streams, and CUDA takes so many queues for them.
STREAMS = 32


@dataclass(frozen=True)
class Capacity:
    """How many trainings of one shape: the number that is fastest, and the most that fit."""

    fastest: int
    most: int
