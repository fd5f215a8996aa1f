"""The weights of one training of a study: which training a few settings name, and its saved weights and mask."""
