"""The one exception that a user can cause."""


class UserError(Exception):
    """Bad input, told in one sentence: what was wrong, where (file, key, case), what was expected, what to do.

    The command line prints it without a traceback and exits with status 2.
    """
