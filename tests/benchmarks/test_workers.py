"""The benchmark of workers: nothing that simulated workers publish is missing in the database."""

from pathlib import Path

import pytest

from benchmarks import workers


@pytest.mark.faults
def test_everything_that_simulated_workers_publish_reaches_the_database(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Set here, so that what the benchmark sets is undone.
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1/0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = workers.measure(workers.KINDS["fast"], 2, 8.0)
    assert found["workers"] == 2
    assert found["events_per_second"] > 0
    for fault in ("leases_lost", "stages_begun_twice", "epochs_missing", "overlap_rows_missing", "results_missing"):
        assert fault in workers.FAULTS
        assert found[fault] == 0
    assert not home.exists()
    assert workers.table([found]).row_count == 1
