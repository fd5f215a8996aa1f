import json
from typing import Any

import pytest

from data.artifacts import result_schema
from tests.data.made_results import made_plan, made_results

RESULTS = [json.loads(json.dumps(result.to_json())) for result in made_results(made_plan()).values()]
FULL = next(values for values in RESULTS if any(len(overlap["counts"]) == 6 for overlap in values["overlaps"]))
SUPPORT = {"kept": 5, "moved": 1, "accuracy": 1.0, "oneshot_accuracy": 1}


def counts(*columns: Any) -> list[Any]:
    return [{"pair": "p", "counts": list(columns)}]


COLUMNS = (["a", "b"], [0.1, 1], [1, 2], [2, 2], [4, 4])


def test_results_of_stages_are_accepted() -> None:
    for values in RESULTS:
        result_schema.check(values)


@pytest.mark.parametrize(
    "changes",
    [
        {"sparsity": 1},
        {"seconds": -1e300},
        {"seconds": 2**53},
        {"device": "x" * 1_000},
        {"more": {1}},
        {"mask": None, "diverged": None, "support": None},
        {"diverged": 2**31 - 1},
        {"support": SUPPORT},
        {"epochs": [(1, 0.1, 1, 1, 1, 1, 1)]},
        {"overlaps": counts()},
        {"overlaps": counts(*COLUMNS)},
        {"overlaps": counts(*COLUMNS, [0, 2.0])},
    ],
    ids=str,
)
def test_values_at_the_edge_of_what_is_allowed_are_accepted(changes: dict[str, Any]) -> None:
    result_schema.check({**FULL, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparsity": True}, "sparsity: Input should be a finite number, an integer at most .* in size, given 'True'"),
        ({"sparsity": "0.5"}, "sparsity: Input should be a finite number"),
        ({"sparsity": float("nan")}, "sparsity: Input should be a finite number.* given 'nan'"),
        ({"seconds": 2**53 + 1}, "seconds: Input should be a finite number"),
        ({"device": "a\u200bb"}, r"device: 'a\\u200bb' contains characters that cannot be printed"),
        ({"device": "x" * 1_001}, "device: String should have at most 1000 characters"),
        ({"mask": "0" * 32 + "\n"}, "mask: String should match pattern"),
        ({"diverged": 2**31}, "diverged: Input should be less than or equal to 2147483647, given '2147483648'"),
        ({"diverged": 1.0}, "diverged: Input should be a valid integer"),
        ({"versions": {"engine": 1}}, "versions.engine: Input should be a valid string, given '1'"),
        ({"epochs": [[1, 2, 3, 4, 5, 6]]}, r"epochs.0.6: Field required, given '\[1, 2"),
        ({"retention": None}, "retention: Input should be a valid list, given 'None'"),
        ({"support": {**SUPPORT, "moved": 6}}, "support: 6 weights moved of 5 that the mask keeps; allowed: at most"),
        ({"support": {**SUPPORT, "more": 1}}, "support.more: Extra inputs are not permitted"),
        ({"overlaps": counts(*COLUMNS[:4])}, "overlaps.0.counts: .* 4 columns; allowed: a list of 5 or 6 columns"),
        ({"overlaps": counts(*COLUMNS, None)}, "overlaps.0.counts.expected: Input should be a valid list"),
        ({"overlaps": counts(*COLUMNS, [])}, "overlaps.0.counts: its columns have 2, 2, 2, 2, 2, 0 rows; allowed: eq"),
        ({"overlaps": counts(*COLUMNS, [1, 2.5])}, "overlaps.0.counts: an expected .* is 2.5; allowed: 0 to 2"),
        ({"overlaps": counts(["a", "\n"], *COLUMNS[1:])}, r"overlaps.0.counts.layers: '\\n' contains characters"),
        ({"overlaps": counts(["a", 5], *COLUMNS[1:])}, "overlaps.0.counts.layers.1: Input should be a valid string"),
        ({"overlaps": {}}, "overlaps: Input should be a valid list"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_error_names_the_field_its_value_and_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        result_schema.check({**FULL, **changes})


@pytest.mark.parametrize("name", ["fingerprint", "device", "sparsity", "seconds", "versions", "epochs", "residuals"])
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: Field required"):
        result_schema.check({key: value for key, value in FULL.items() if key != name})


def test_a_row_of_an_epoch_is_a_number_and_six_measurements() -> None:
    result_schema.epoch_row([1, 0.1, 1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="0: Input should be a valid integer, given 'x'"):
        result_schema.epoch_row(["x"] * 7)
