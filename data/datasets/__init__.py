"""Datasets by name, read from files, caches or the artifact store."""
