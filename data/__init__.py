"""What is kept: settings, datasets, weights, and metrics in DuckDB."""
