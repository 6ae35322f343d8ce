"""What every command prints through: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from linksim.errors import LinksimError

console = Console(highlight=False)
"""Standard output, for results."""
messages = Console(stderr=True, highlight=False)
"""Standard error, for progress and remarks, so that `--json` output stays clean."""


def print_json(document: Any) -> None:
    """Print *document* as indented JSON on standard output."""
    print(json.dumps(document, indent=2))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table whose first column is left- and whose other columns are right-aligned.

    Title and cells are shown as they are: a bracket in a file's name or metadata is no markup.
    """
    result = Table(title=Text(title), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        result.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        result.add_row(*(Text(str(cell)) for cell in row))
    return result


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; wide ones are not cut when the output is not a terminal."""
    drawn = table(title, columns, rows)
    if console.is_terminal:
        console.print(drawn)
    else:
        Console(highlight=False, width=max(200, console.width)).print(drawn)


def check_folder(out: Path) -> None:
    """Refuse an output that can be no folder before any time is spent: LinksimError."""
    there = next(path for path in (out, *out.parents) if path.exists())
    if not there.is_dir():
        raise LinksimError(f"{there}: not a folder, so no results can go to {out}")
