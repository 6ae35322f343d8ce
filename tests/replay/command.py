"""Running `linksim` in this process, and what every refusal looks like."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from linksim.cli import main


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, all of which must be one JSON document."""
        assert (self.code, self.err) == (0, "")
        return json.loads(self.out)

    def refused(self, *parts: str) -> str:
        """The one sentence of a refusal, which has all *parts* in it."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.startswith("linksim: ")
        assert self.err.count("\n") == 1
        assert self.err.endswith("\n")
        assert "Traceback" not in self.err
        for part in parts:
            assert part in self.err, self.err
        return self.err


def linksim(*arguments: object) -> Finished:
    """Run `linksim` through its entry point with *arguments*."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        patch.object(sys, "argv", ["linksim", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Finished(int(code or 0), out.getvalue(), err.getvalue())


def files_under(folder: Path) -> list[str]:
    """All files and folders below *folder*, to see that a refusal left none."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
