"""The New study page: a form, and beside it the plan of its study."""
