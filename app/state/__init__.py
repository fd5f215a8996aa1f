"""What pages read: the database, cached, and what is live."""
