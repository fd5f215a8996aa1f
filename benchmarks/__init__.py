"""Benchmarks of speed, accuracy and verdicts; README.md has their results."""
