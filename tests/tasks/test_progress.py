"""Lines on progress: one for each training, at most one a second, at least one a minute."""

import pytest

from data.datasets.registry import DATASETS
from engine.study.plan import plan
from tasks import progress
from tasks.progress import BACKLOG, Lines
from tests.machine import tiny_study


def test_every_event_has_a_line_of_its_own_at_most_one_a_second() -> None:
    written: list[str] = []
    lines = Lines(written.append, lambda: "3 left")
    lines.add("trainings done", "done: a")
    lines.step(1e6)
    # Networks that are trained side by side end at once.
    for name in "bc":
        lines.add("trainings done", f"done: {name}")
    lines.add("trainings failed", "failed: d: no memory")
    for tenth in range(1, 10):
        lines.step(1e6 + 0.1 * tenth)
    assert written == ["done: a; 3 left"]
    for second in (1, 2):
        lines.step(1e6 + second)
    assert written[1:] == ["done: b; 3 left", "done: c; 3 left"]
    lines.finish()
    assert written[3:] == ["failed: d: no memory; 3 left"]


def test_thousands_of_events_make_a_line_a_second_and_each_is_counted() -> None:
    written: list[str] = []
    lines = Lines(written.append, lambda: "")
    for number in range(6000):
        lines.add("trainings done", f"done: {number}")
        if number == 3000:
            lines.add("trainings failed", "failed: no memory")
        lines.step(1e6 + number / 100)
    lines.finish()
    assert 60 <= len(written) <= 60 + BACKLOG + 1
    assert written.count("failed: no memory") == 1
    counts = [int(line.split()[0].replace(",", "")) if line[0].isdigit() else 1 for line in written]
    assert sum(counts) == 6001


def test_a_minute_without_an_event_has_a_line_unless_there_is_nothing_to_say() -> None:
    written: list[str] = []
    words = ["2 of 7 trainings done"]
    lines = Lines(written.append, lambda: words[0])
    lines.step(1e6)
    for second in range(1, 181):
        lines.step(1e6 + second)
    assert written == ["2 of 7 trainings done"] * 4
    words[0] = ""
    lines.step(1e6 + 1000)
    assert len(written) == 4


def test_what_is_left_and_until_when() -> None:
    assert progress.state(0, 1, {}) == "0 of 1 training done, 1 left"
    out = {"failed": 1, "blocked": 4, "cancelled": 0}
    assert progress.state(1000, 2000, out, running=2) == (
        "1,000 of 2,000 trainings done, 995 left, 1 failed, 4 blocked, 2 in training"
    )
    assert "1 left, about 1 min 15 s left, done about " in progress.state(1, 2, {}, seconds=75.0)


@pytest.mark.parametrize(
    ("accuracy", "diverged", "text"),
    [
        (91.234, None, "91.23 % in 1 min 02 s"),
        (None, 3, "diverged after epoch 3"),
        (None, 0, "not trained, since its parent diverged"),
        (None, None, ""),
    ],
)
def test_what_a_training_reached(accuracy: float | None, diverged: int | None, text: str) -> None:
    assert progress.reached(accuracy, diverged, 62.0) == text


def test_a_training_is_named_by_what_tells_it_from_others() -> None:
    planned = plan(tiny_study(), {"digits": DATASETS["digits"].identity})
    names = [progress.name(stage) for stage in planned.stages.values()]
    assert len(set(names)) == len(names) == 7
    assert names[0] == "lenet300 on digits, lr 0.1, seed 0, dense, 4 epochs"
    assert "lenet300 on digits, lr 0.1, seed 0, winning_ticket @ 90 % (magnitude, round 2), 4 epochs" in names
