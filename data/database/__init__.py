"""The DuckDB file: its tables and its lock, events as rows, backup and deletion."""
