"""The benchmark of workers: everything that simulated workers publish reaches the database."""

from pathlib import Path

import pytest

from benchmarks import workers


@pytest.mark.faults
def test_everything_that_simulated_workers_publish_reaches_the_database(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # monkeypatch must set these before the benchmark does, to restore them afterwards.
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1/0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = workers.measure(workers.KINDS["fast"], 2, 8.0)
    assert result["workers"] == 2
    assert result["events_per_second"] > 0
    for fault in ("leases_lost", "stages_begun_twice", "epochs_missing", "overlap_rows_missing", "results_missing"):
        assert fault in workers.FAULTS
        assert result[fault] == 0
    assert not home.exists()
    assert workers.table([result]).row_count == 1
