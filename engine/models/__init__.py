"""Networks, and the operators that make them fast."""
