"""Counterexamples as text: the value change dumps of yosys-smtbmc, read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MOST_COLUMNS = 24
_MOST_DIGITS = 16
_STEP = "t"
"""The dump's own counter: a new cycle begins where it is set."""


@dataclass(frozen=True)
class Waveform:
    """The signals of the top, one value per cycle."""

    keys: dict[str, str]
    steps: list[dict[str, int]]

    @classmethod
    def read(cls, path: Path) -> Waveform:
        """The top scope of the dump at *path*."""
        keys: dict[str, str] = {}
        steps: list[dict[str, int]] = []
        depth = 0
        for words in map(str.split, path.read_text().splitlines()):
            if words[0] == "$scope":
                depth += 1
            elif words[0] == "$upscope":
                depth -= 1
            elif words[0] == "$var" and depth == 1:
                keys[words[4]] = words[3]
            elif words[0].startswith("b"):
                if words[1] == _STEP:
                    steps.append({})
                elif steps:
                    steps[-1][words[1]] = int(words[0][1:].replace("x", "0"), 2)
        # The dump ends with a cycle in which only the clock is given.
        if len(steps) > 1 and len(steps[-1]) < len(steps[0]):
            steps.pop()
        return cls(keys, steps)

    @property
    def cycles(self) -> int:
        """How many the counterexample has."""
        return len(self.steps)

    def value(self, signal: str, cycle: int) -> int | None:
        """None for a signal that the dump does not have."""
        return self.steps[cycle].get(self.keys.get(signal, ""))

    def table(self, names: Sequence[str]) -> str:
        """A line per signal, a column per cycle, in hexadecimal; the last cycles of many."""
        shown = range(max(0, self.cycles - _MOST_COLUMNS), self.cycles)
        rows = [["cycle", *map(str, shown)]]
        for name in names:
            if name in self.keys:
                rows.append([name, *(_short(self.value(name, cycle) or 0) for cycle in shown)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )


def _short(value: int) -> str:
    """In hexadecimal; of a long one the lowest digits."""
    digits = f"{value:x}"
    return digits if len(digits) <= _MOST_DIGITS else f"..{digits[2 - _MOST_DIGITS :]}"
