"""Networks, and their layers as a CPU computes them fast."""
