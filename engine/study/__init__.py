"""A study: its fields and their limits, its plan, its cost and its results."""
