"""A study: what it may hold, its plan, its cost and its results."""
