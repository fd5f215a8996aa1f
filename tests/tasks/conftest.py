"""A real Redis, and studies small enough to train in a moment."""
