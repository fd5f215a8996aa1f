"""How fast the dashboard is when its store is full."""
