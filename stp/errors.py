"""The one exception that the command line shows to a user without a traceback."""


class UserError(Exception):
    """A mistake in the user's input: names the key or file, its value, what is allowed and how to fix it."""
