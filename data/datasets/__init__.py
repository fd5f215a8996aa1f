"""Datasets by name, read from their files."""
