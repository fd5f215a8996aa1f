import pandas as pd
import pytest

from data.queries.failures import blocked, failures, reason, shown_counts, with_blocked


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("DatasetError: no folder at /data\n\nTraceback ...\nlast line", "no folder at /data"),
        ("DatasetError: 2 of 60 images cannot be trained on:\na.png is empty", "2 of 60 images cannot be trained on"),
        ("RuntimeError: a made-up failure", "RuntimeError: a made-up failure"),
        ("Its worker died: killed", "Its worker died: killed"),
        ("KeyError: 3", "KeyError: 3"),
        ("  \n", "no reason was recorded"),
        ("", "no reason was recorded"),
        (None, "no reason was recorded"),
    ],
)
def test_the_reason_of_an_error_is_its_sentence(error: str | None, sentence: str) -> None:
    assert reason(error) == sentence


def test_failures_are_counted_by_reason_in_the_order_of_their_first() -> None:
    at = pd.Timestamp("2026-11-30")
    rows = [
        ("a", "failed", "DatasetError: late", at + pd.Timedelta(3, "s")),
        ("b", "done", None, at),
        ("c", "failed", "KeyError: 3", at + pd.Timedelta(2, "s")),
        ("d", "failed", "DatasetError: late\n\nanother trace", at + pd.Timedelta(1, "s")),
        ("e", "failed", None, None),
    ]
    found = failures(pd.DataFrame(rows, columns=["fingerprint", "state", "error", "finished_at"]))
    assert [(failure.reason, failure.count, failure.first["fingerprint"]) for failure in found] == [
        ("late", 2, "d"),
        ("KeyError: 3", 1, "c"),
        ("no reason was recorded", 1, "e"),
    ]
    assert failures(pd.DataFrame(rows[1:2], columns=["fingerprint", "state", "error", "finished_at"])) == []


def test_stages_that_wait_for_a_failed_one_are_blocked_with_all_that_build_on_them() -> None:
    rows = [
        ("root", None, "failed"),
        ("child", "root", "waiting"),
        ("grandchild", "child", "waiting"),
        ("cancelled", "root", "cancelled"),
        ("after", "cancelled", "waiting"),
        ("other", None, "running"),
        ("waits", "other", "waiting"),
        ("done", "root", "done"),
        ("builds", "done", "waiting"),
    ]
    stages = pd.DataFrame(rows, columns=["fingerprint", "parent", "state"])
    found = blocked(stages)
    assert found == {"child", "grandchild"}
    assert list(with_blocked(stages, found)["state"].value_counts().items())[:2] == [("waiting", 3), ("blocked", 2)]
    assert list(stages["state"]) == [state for _, _, state in rows]
    assert shown_counts({"waiting": 5, "failed": 1}, len(found)) == {"waiting": 3, "failed": 1, "blocked": 2}
