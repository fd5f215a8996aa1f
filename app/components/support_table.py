"""The table of how much ADMM's masks differ from those of one-shot pruning."""

import pandas as pd

from app.charts.points import NOT_RECORDED, describe, setting_columns, summarise

# The explanation of the table on every page and in every report.
ABOUT = (
    "Support moved: of the weights that ADMM's mask keeps, those that one-shot pruning of θ_T to the same sparsity "
    "would remove. The residual falls whether or not the support moves, so it takes both. Accuracies are on the test "
    "images right after pruning, with nothing trained. Means ± standard deviation over n seeds."
)

# The title, factor, digits and unit of each column of `data.queries.studies.supports`.
_VALUES = {
    "moved": ("support moved", 100, 3, " %"),
    "residual": ("last residual", 1, 4, ""),
    "accuracy": ("accuracy, ADMM", 1, 2, " %"),
    "oneshot_accuracy": ("accuracy, one-shot", 1, 2, " %"),
}
_KEYS = ["pruner", "learning_rate", "sparsity"]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each pruner, learning rate and sparsity: mean ± standard deviation with n.

    rows: `data.queries.studies.supports` rows of one dataset and network. A value that an older version did not measure
    reads "not recorded".
    """
    table = pd.DataFrame()
    for value, (title, factor, digits, unit) in _VALUES.items():
        points = summarise(rows.assign(value=factor * rows[value].astype(float)), "value", _KEYS, "sd")
        if table.empty:
            table = setting_columns(points)[["pruner", "learning rate", "sparsity"]].copy()
        table[title] = [
            describe(mean, low, high, int(n), "sd", digits, unit) if n else NOT_RECORDED
            for mean, low, high, n in points[["mean", "low", "high", "n"]].itertuples(index=False)
        ]
    return table
