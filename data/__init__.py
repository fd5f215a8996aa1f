"""What is saved: settings, datasets, weights and results, and the database."""
