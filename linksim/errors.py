"""The one exception a user is meant to read, and how a failed validation becomes one."""

from __future__ import annotations

from pydantic import ValidationError


class LinksimError(Exception):
    """Bad input: one sentence that names the file, the field and what was expected.

    The command line prints it and exits with code 2; nothing has been written by then.
    """


def first_problem(error: ValidationError) -> str:
    """The first finding of a pydantic error as `field: what was expected`."""
    finding = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in finding["loc"]) or "the document"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {finding['msg'].removeprefix('Value error, ')}{more}"
