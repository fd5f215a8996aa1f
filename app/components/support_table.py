"""The table of how much ADMM's masks differ from those of one-shot pruning."""

import pandas as pd

from app.charts.points import mean_columns, seeds_column, setting_columns, summarise

# The explanation of the table on every page and in every report.
ABOUT = (
    "Support moved: of the weights that ADMM's mask keeps, those that one-shot pruning of θ_T to the same sparsity "
    "would remove. The residual falls whether or not the support moves: look at both. Accuracies are on the test "
    "images right after pruning, with nothing trained. Means ± standard deviation over n seeds; "
    "what an older version did not measure is left out."
)

# The title, factor and digits of each column of `data.queries.studies.supports`.
_VALUES = {
    "moved": ("support moved (%)", 100, 3),
    "residual": ("last residual", 1, 4),
    "accuracy": ("accuracy, ADMM (%)", 1, 2),
    "oneshot_accuracy": ("accuracy, one-shot (%)", 1, 2),
}
_KEYS = ["pruner", "learning_rate", "sparsity"]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each pruner, learning rate and sparsity: means, standard deviations and n.

    rows: `data.queries.studies.supports` rows of one dataset and network. Values that an older version did not measure
    are missing.
    """
    columns: dict[str, pd.Series] = {}
    counts: dict[str, pd.Series] = {}
    for value, (title, factor, digits) in _VALUES.items():
        points = summarise(rows.assign(value=factor * rows[value].astype(float)), "value", _KEYS, "sd")
        settings = setting_columns(points)
        columns |= mean_columns(points, title, digits)
        counts[title] = points["n"].where(points["n"] > 0)
    table = settings[["pruner", "learning rate", "sparsity (%)"]].assign(**columns)
    return table.assign(n=seeds_column(pd.DataFrame(counts).fillna(0)))
