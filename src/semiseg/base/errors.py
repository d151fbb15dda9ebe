"""The one exception for mistakes of a user."""


class UserError(Exception):
    """Bad input. The message is one sentence: what was wrong, where (file, key, case), what was expected, what to do.

    The command line prints the message without a traceback and exits with status 2.
    """
