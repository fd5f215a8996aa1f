"""Redis, which holds the queue and all live state: connections, and a server of this home."""
