"""The New study page: a form, and what the study would take."""
