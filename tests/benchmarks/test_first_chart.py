"""The benchmark of the first chart: it notices the first epoch of a real worker, and its table marks missed goals."""

import io
import math
import threading
import time

from rich.console import Console

from benchmarks.first_chart import first_epoch, table
from data.settings import settings
from tests.machine import Machine, long_study


def test_first_epoch_returns_when_the_first_epoch_is_trained(machine: Machine) -> None:
    machine.launch(long_study(epochs=2000))
    begin = time.monotonic()
    over = threading.Event()
    # There is no worker yet.
    threading.Timer(1.0, over.set).start()
    assert math.isnan(first_epoch(settings(), over))
    machine.worker()
    over = threading.Event()
    threading.Timer(90.0, over.set).start()
    assert begin + 1 < first_epoch(settings(), over) <= time.monotonic()


def test_first_epoch_waits_for_a_redis_that_has_not_started(home: object) -> None:
    over = threading.Event()
    threading.Timer(0.7, over.set).start()
    assert math.isnan(first_epoch(settings(), over))


def test_the_table_has_medians_and_marks_missed_goals() -> None:
    runs = [
        {
            "the dashboard answers": 9.0 + more,
            "the first epoch is trained": 8.0,
            "the first chart": 20.0 + more,
            "the demo study is done": 50.0,
        }
        for more in (0.0, 2.0, 1.0)
    ]
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(table(runs))
    text = console.export_text()
    assert "n = 3" in text
    cells = [[cell.strip() for cell in line.split("│")] for line in text.splitlines()]
    rows = {row[1]: row[2:4] for row in cells if len(row) > 3}
    assert rows["the first chart"] == ["21.0 (20.0-22.0)", "20 !"]
    assert rows["the demo study is done"] == ["50.0 (50.0-50.0)", "60"]
    assert rows["the dashboard answers"] == ["10.0 (9.0-11.0)", ""]
