from app.downloads.brake import Brake


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_caller_may_ask_often_at_once_and_then_at_a_rate() -> None:
    clock = Clock()
    brake = Brake(burst=3, per_second=0.5, clock=clock)
    assert [brake.wait("a") for _ in range(4)] == [0, 0, 0, 2.0]
    # What was refused does not count.
    assert brake.wait("a") == 2.0
    assert brake.wait("b") == 0
    clock.now = 1.0
    assert brake.wait("a") == 1.0
    clock.now = 2.0
    assert [brake.wait("a"), brake.wait("a")] == [0, 2.0]
    clock.now = 1000.0
    assert [brake.wait("a") for _ in range(4)] == [0, 0, 0, 2.0]


def test_callers_that_came_long_ago_are_forgotten() -> None:
    brake = Brake(burst=1, per_second=0.001, most=2)
    assert brake.wait("a") == 0
    assert brake.wait("a") > 0
    for name in ("b", "c"):
        brake.wait(name)
    assert len(brake._left) == 2
    assert brake.wait("a") == 0
