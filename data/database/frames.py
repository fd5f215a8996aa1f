"""What a query answers as a pandas frame, the same for every reader."""

from datetime import UTC
from typing import Any

import duckdb
import pandas as pd


def frame(connection: duckdb.DuckDBPyConnection, query: str, *values: Any) -> pd.DataFrame:
    """Return the rows of a query: times in UTC with their zone, a missing text None."""
    found: pd.DataFrame = connection.execute(query, list(values)).df()
    for name in found.columns:
        if pd.api.types.is_datetime64_any_dtype(found[name]):
            found[name] = found[name].dt.tz_localize(UTC)
        elif pd.api.types.is_string_dtype(found[name]) and found[name].hasnans:
            # pandas' own mark of a missing text is NaN, which is true.
            found[name] = found[name].astype(object).where(found[name].notna(), None)
    return found
