"""Settings, datasets, weights and results, and the database of metrics."""
