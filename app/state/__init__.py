"""The data behind the pages: cached queries of the database, and the live state in Redis."""
