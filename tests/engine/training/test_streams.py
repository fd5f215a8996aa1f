"""Streams are lent to one training at a time, although PyTorch hands them out in turn."""

import gc
from itertools import cycle

import pytest
import torch

from engine.training.capacity import STREAMS
from engine.training.streams import Pool, lent


def test_a_stream_in_use_is_not_lent_while_another_is_free() -> None:
    pool = Pool(cycle(range(STREAMS)).__next__)
    first = [pool.lend() for _ in range(STREAMS)]
    assert sorted(first) == list(range(STREAMS))
    pool.take_back(first[7])
    # PyTorch's own turn would be that of the first stream, which is in use.
    assert pool.lend() == first[7]


def test_beyond_the_last_free_stream_the_least_used_are_shared() -> None:
    pool = Pool(cycle(range(2)).__next__)
    assert sorted(pool.lend() for _ in range(4)) == [0, 0, 1, 1]
    pool.take_back(1)
    assert pool.lend() == 1


def test_a_cpu_has_no_streams() -> None:
    stream, give_back = lent(torch.device("cpu"), test_a_cpu_has_no_streams)
    give_back()
    assert stream is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_the_stream_of_a_freed_training_is_lent_again() -> None:
    class Borrower:
        pass

    device = torch.device("cuda")
    borrowers = [Borrower() for _ in range(3)]
    streams = [lent(device, borrower)[0] for borrower in borrowers]
    assert len({stream.cuda_stream for stream in streams if stream is not None}) == 3
    del borrowers[1]
    gc.collect()
    assert lent(device, borrowers[0])[0] == streams[1]
