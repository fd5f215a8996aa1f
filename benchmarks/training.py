"""A study that goes on training while pages are looked at: an epoch of one of its stages every second."""

import threading
import time
from datetime import UTC, datetime

from data.events import Event
from data.store import Store

EVERY = 1.0

_NEXT = """
    SELECT fingerprint, coalesce(max(epoch), 0) + 1 AS next
    FROM study_stages JOIN states USING (fingerprint) JOIN stages USING (fingerprint)
        LEFT JOIN epochs AS done USING (fingerprint)
    WHERE study_id = $1 AND state IN ('running', 'waiting') GROUP BY ALL
    HAVING next <= any_value(stages.epochs) ORDER BY any_value(state), next LIMIT 1
"""


def go_on(store: Store, study_id: str, stopping: threading.Event) -> None:
    """Record an epoch a second, as the recorder would, until asked to stop; each stage goes on to its last epoch."""
    while not stopping.wait(EVERY):
        with store.reading() as connection:
            found = connection.execute(_NEXT, [study_id]).fetchone()
        if found is None:
            continue
        fingerprint, epoch = found
        identifier = f"{time.time_ns() // 1_000_000}"
        at = datetime.now(UTC).isoformat()
        state = {"fingerprint": fingerprint, "state": "running", "attempt": 1, "at": at, "worker": "host:100"}
        rows = [[epoch, 0.01, 0.9, 70.0, 1.1, 65.0 + epoch % 5, 6.0]]
        store.record(
            [
                Event(f"{identifier}-0", "stage", state),
                Event(f"{identifier}-1", "epochs", {"fingerprint": fingerprint, "rows": rows}),
            ]
        )
