"""The Redis that holds what is live: how it is reached, and the one that is started here."""
