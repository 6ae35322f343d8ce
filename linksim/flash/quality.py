"""How far a collective's result is from the exact sum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Deviation:
    """Sums over values, so that tensors can be taken together."""

    signal: float = 0.0
    """Sum of the squared exact values."""
    noise: float = 0.0
    """Sum of the squared errors."""
    largest: float = 0.0
    """Largest magnitude of an error."""
    values: int = 0

    @classmethod
    def of(cls, exact: NDArray[np.float64], result: NDArray[Any]) -> Deviation:
        """How far *result* is from *exact*, both of one shape and finite."""
        error = result.astype(np.float64) - exact
        return cls(
            signal=float(np.square(exact).sum()),
            noise=float(np.square(error).sum()),
            largest=float(np.abs(error).max(initial=0.0)),
            values=exact.size,
        )

    def __add__(self, other: Deviation) -> Deviation:
        return Deviation(
            self.signal + other.signal,
            self.noise + other.noise,
            max(self.largest, other.largest),
            self.values + other.values,
        )

    @property
    def snr_db(self) -> float:
        """10 log10 of signal to noise; infinite without noise."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    @property
    def largest_in_rms(self) -> float:
        """`largest` in root mean squares of the exact values; infinite if those are all 0."""
        if self.signal == 0:
            return math.inf if self.largest else 0.0
        return self.largest / math.sqrt(self.signal / self.values)


def exact_sum(tensors: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
    """The sum in float64, flat: far more bits than a sum of a few bf16 values needs."""
    total: NDArray[np.float64] = np.sum(
        [tensor.reshape(-1).astype(np.float64) for tensor in tensors], axis=0
    )
    return total
