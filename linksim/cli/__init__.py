"""The `linksim` command line."""

from __future__ import annotations

import sys

from linksim.cli.app import app
from linksim.errors import LinksimError


def main() -> None:
    """Run the command line; bad input ends in one sentence and exit code 2."""
    try:
        app()
    except LinksimError as error:
        print(f"linksim: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"linksim: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
