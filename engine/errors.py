"""The base of all errors that tell a user what to do."""


class UserError(Exception):
    """Something that a user can put right: its message says what was given, what is allowed and what to do next."""
