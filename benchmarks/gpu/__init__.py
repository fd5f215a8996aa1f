"""Tests, speeds and a figure of the paper on a GPU, within some minutes: python -m benchmarks.gpu."""
