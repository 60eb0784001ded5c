"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """A mistake in what the user gave: an argument, a file, a line of the configuration.

    Its text is one line that names the file, line or field. The command line prints it without a
    traceback and exits with status 2.
    """
