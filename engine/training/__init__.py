"""Training on a device: SGD, ADMM, several networks at once."""
