"""How many trainings a device runs at once."""

from dataclasses import dataclass

# The most concurrent trainings on one GPU: PyTorch has 32 streams, and CUDA allows 32 queues for them.
STREAMS = 32
# By default CUDA has 8 queues, and streams that share one wait for each other. It reads this variable as a process
# begins to use a GPU.
QUEUES = {"CUDA_DEVICE_MAX_CONNECTIONS": str(STREAMS)}


@dataclass(frozen=True)
class Capacity:
    """How many trainings of one shape run concurrently: the number that is fastest, and the most that fit.

    each: the bytes of GPU memory that one takes, 0 where memory sets no limit.
    """

    fastest: int
    most: int
    each: int = 0
