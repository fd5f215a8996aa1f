"""The list of studies: what it shows of each, filters, changes in place, actions on several, and the Trash."""
