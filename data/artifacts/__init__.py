"""Weights, masks and results by fingerprint, in a folder or any file system that fsspec knows."""
