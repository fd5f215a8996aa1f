"""Records an epoch of a study every second, while the benchmark of pages measures."""

import threading
import time
from datetime import UTC, datetime

from data.database.database import Database
from data.database.events import Event

SECONDS_PER_EPOCH = 1.0

_UNFINISHED = """
    SELECT fingerprint, coalesce(max(epoch), 0), any_value(stages.epochs)
    FROM study_stages JOIN states USING (fingerprint) JOIN stages USING (fingerprint)
        LEFT JOIN epochs AS done USING (fingerprint)
    WHERE study_id = ? AND state IN ('running', 'waiting')
    GROUP BY fingerprint ORDER BY any_value(state), any_value(study_stages.position)
"""


def train(database: Database, study_id: str, stopping: threading.Event) -> None:
    """Record an epoch a second, as the recorder would, until `stopping` is set; each stage trains to its last epoch."""
    with database.reading() as connection:
        stages = connection.execute(_UNFINISHED, [study_id]).fetchall()
    for fingerprint, last, total in stages:
        for epoch in range(last + 1, total + 1):
            if stopping.wait(SECONDS_PER_EPOCH):
                return
            database.record(_events(fingerprint, epoch))


def _events(fingerprint: str, epoch: int) -> list[Event]:
    milliseconds = time.time_ns() // 1_000_000
    at = datetime.now(UTC).isoformat()
    state = {"fingerprint": fingerprint, "state": "running", "attempt": 1, "at": at, "worker": "host:100"}
    rows = [[epoch, 0.01, 0.9, 70.0, 1.1, 65.0 + epoch % 5, 6.0]]
    return [
        Event(f"{milliseconds}-0", "stage", state),
        Event(f"{milliseconds}-1", "epochs", {"fingerprint": fingerprint, "rows": rows}),
    ]
