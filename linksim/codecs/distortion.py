"""What a lossy codec changes in a tensor: signal, noise and largest error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from linksim.tensors.dtypes import Tensor


@dataclass(frozen=True)
class Distortion:
    """Errors of decoded values, in the units of the values; sums over those that are finite."""

    signal: float
    """Sum of the squares of the values."""
    noise: float
    """Sum of the squares of the errors."""
    largest_error: float
    """Largest magnitude of an error."""
    values_lost: int
    """Finite values that are decoded as NaN or infinity; no sum has them."""

    @property
    def snr_db(self) -> float | None:
        """Signal to noise ratio in decibels; None where there is no noise or no signal."""
        if self.noise == 0 or self.signal == 0:
            return None
        return 10 * float(np.log10(self.signal / self.noise))

    def document(self) -> dict[str, Any]:
        """JSON-able: `snr_db`, `largest_error` and `values_lost`."""
        ratio = self.snr_db
        return {
            "snr_db": None if ratio is None else round(ratio, 3),
            "largest_error": self.largest_error,
            "values_lost": self.values_lost,
        }


def distortion(values: Tensor, decoded: Tensor) -> Distortion:
    """How far *decoded* is from *values*, both flat and of one length, in float64."""
    wide, other = values.astype(np.float64), decoded.astype(np.float64)
    finite = np.isfinite(wide)
    judged = finite & np.isfinite(other)
    errors = other[judged] - wide[judged]
    return Distortion(
        signal=float(np.square(wide[judged]).sum()),
        noise=float(np.square(errors).sum()),
        largest_error=float(np.abs(errors).max(initial=0)),
        values_lost=int(finite.sum() - judged.sum()),
    )


def total_distortion(parts: Iterable[Distortion]) -> Distortion:
    """All *parts* as one."""
    listed = list(parts)
    return Distortion(
        signal=sum(part.signal for part in listed),
        noise=sum(part.noise for part in listed),
        largest_error=max((part.largest_error for part in listed), default=0.0),
        values_lost=sum(part.values_lost for part in listed),
    )
