"""The Redis that holds what is live: connections to it, and the server that is started here."""
