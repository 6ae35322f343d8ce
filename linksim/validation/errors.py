"""How far simulated figures are from those they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ErrorSummary:
    """Relative errors |simulated / reference - 1| of some rows, as fractions."""

    rows: int
    median: float
    p90: float
    """Nine tenths are at most this far off, linear between rows."""
    max: float
    geomean: float
    """exp(mean |ln(simulated / reference)|) - 1: a factor of 2 either way counts 1."""

    @classmethod
    def of(cls, simulated: Sequence[float], reference: Sequence[float]) -> ErrorSummary:
        """Summary of *simulated* against *reference* (both positive, one or more of them)."""
        ratios = np.array(simulated, float) / np.array(reference, float)
        errors = np.abs(ratios - 1)
        return cls(
            len(ratios),
            float(np.median(errors)),
            float(np.percentile(errors, 90)),
            float(errors.max()),
            float(np.expm1(np.abs(np.log(ratios)).mean())),
        )
