"""Reading the database, with one function for each quantity."""
