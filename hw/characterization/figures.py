"""Cycles, area and clock of every core, read from results/hardware."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hw.cores import Configuration

LIBRARY = "asap7"
WIRES = 2
"""The longest path before layout is taken to be this many times as long with wires."""
CLOCK_STEP_HZ = 100_000_000
"""Clocks are rounded down to whole multiples of this."""


def clock_hz(critical_path_ps: float) -> int:
    """The clock that is claimed for a core whose longest path before layout is given."""
    hz = 1e12 / (WIRES * critical_path_ps)
    return max(1, math.floor(hz / CLOCK_STEP_HZ)) * CLOCK_STEP_HZ


@dataclass(frozen=True)
class Characterized:
    """A configuration with what is known of it."""

    configuration: Configuration
    run: Mapping[str, Any]
    """From results/hardware/long-run.json."""
    synthesis: Mapping[str, Any]
    """From results/hardware/synthesis.json; empty where it was not synthesised."""

    @property
    def name(self) -> str:
        """The configuration's."""
        return self.configuration.name

    @property
    def family(self) -> str:
        """The name without the width: what a line of the figure shows."""
        return self.name.rpartition("-w")[0]

    @property
    def width(self) -> int:
        """Values per cycle it was built for."""
        return self.configuration.values_per_cycle

    @property
    def cells(self) -> Mapping[str, Any]:
        """Area and path in the library's cells; empty where not known."""
        return self.synthesis.get(LIBRARY, {})

    @property
    def path_ps(self) -> float | None:
        """The longest path, those from and to ports included."""
        paths = [self.cells.get(field) for field in ("critical_path_ps", "port_path_ps")]
        known = [path for path in paths if path is not None]
        return max(known) if known else None

    @property
    def clock_hz(self) -> int | None:
        """The clock that is claimed; None without a path."""
        return None if self.path_ps is None else clock_hz(self.path_ps)


def characterized(
    configurations: Iterable[Configuration],
    runs: Mapping[str, Any],
    synthesis: Mapping[str, Any],
) -> list[Characterized]:
    """The configurations that were run over a trace, without those that gave a wrong bit."""
    return [
        Characterized(one, runs[one.name], synthesis.get(one.name, {}))
        for one in configurations
        if one.name in runs and not runs[one.name]["wrong"]
    ]
