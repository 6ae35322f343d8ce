"""The one exception a user is meant to read."""

from __future__ import annotations


class LinksimError(Exception):
    """Bad input: one sentence that names the file, the field and what was expected.

    The command line prints it and exits with code 2; nothing has been written by then.
    """
