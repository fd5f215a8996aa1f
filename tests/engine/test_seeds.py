import torch

from engine.seeds import derive, global_seed, stream


def test_every_seed_purpose_and_epoch_has_its_own_stream() -> None:
    seeds = {derive(seed, purpose, epoch) for seed in range(3) for purpose in ("a", "b") for epoch in range(3)}
    assert len(seeds) == 18
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_stream_is_the_same_each_time() -> None:
    assert torch.equal(torch.rand(5, generator=stream(1, "x")), torch.rand(5, generator=stream(1, "x")))


def test_the_global_generator_is_restored() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with global_seed(5, "x"):
        torch.rand(3)
    assert torch.equal(torch.rand(1), expected)
