"""Training on a device: SGD, ADMM, and concurrent trainings."""
