"""The time of one ring step, read off a table without any fit.

A ring all-reduce of n GPUs takes 2 (n - 1) steps, all-gather and reduce-scatter n - 1. Where bytes
do not count, their difference over n - 1 is one step: software at both ends, two links and the
switch between them. So it is more than twice the flight of a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linksim.validation.table import MeasuredRow

LARGEST_NBYTES = 8192
"""Up to this size bytes are taken not to count."""


@dataclass(frozen=True)
class StepTime:
    """Ring steps of one GPU model."""

    differences: int
    """Pairs of measurements."""
    median_us: float
    smallest_us: float
    largest_us: float

    @property
    def largest_flight_us(self) -> float:
        """A link's flight is at most half of the median step."""
        return self.median_us / 2


def step_time(rows: Sequence[MeasuredRow]) -> StepTime | None:
    """The step time of one GPU's *rows*; None where no two of them can be compared."""
    times = {row.collective: row.time_us for row in rows}
    steps = []
    for whole, time_us in times.items():
        if whole.op != "all_reduce" or whole.nbytes > LARGEST_NBYTES:
            continue
        for half, half_us in times.items():
            same = (half.n_gpus, half.nbytes) == (whole.n_gpus, whole.nbytes)
            if same and half.op in ("all_gather", "reduce_scatter"):
                steps.append((time_us - half_us) / (whole.n_gpus - 1))
    if not steps:
        return None
    return StepTime(len(steps), float(np.median(steps)), min(steps), max(steps))
