"""The coverage of a full run, as tables at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hw.cocotb.coverage import table

REPORTS = pytest.StashKey[list[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORTS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for path in terminalreporter.config.stash[REPORTS]:
        terminalreporter.write_line(table(json.loads(path.read_text())))
