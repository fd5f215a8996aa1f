"""A study as one file that another installation can import: written here, and read without trusting it."""
