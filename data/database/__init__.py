"""The DuckDB file: its tables, its lock, and how events become rows."""
