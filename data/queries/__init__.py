"""Every read of the database, answered as frames."""
