"""A study's page and its tabs."""
