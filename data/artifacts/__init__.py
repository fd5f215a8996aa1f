"""Weights, masks and results by fingerprint, in a folder or any store that fsspec knows."""
