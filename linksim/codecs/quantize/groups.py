"""What a quantizer makes of a tensor: a row of codes per group, and what each group shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.quantize.bf16 import Patterns
from linksim.errors import LinksimError

Bytes = NDArray[np.uint8]


def _check(name: str, array: NDArray[np.generic], dtype: type[np.generic], groups: int) -> None:
    if array.dtype != dtype or array.shape[:1] != (groups,):
        raise LinksimError(
            f"{name}: got {array.dtype} of shape {array.shape}: expected {np.dtype(dtype)} with "
            f"{groups} rows"
        )


@dataclass(frozen=True, eq=False)
class Spikes:
    """The two values of every group that are kept as they are."""

    low: Patterns
    """bf16 patterns of the minima, uint16 [groups]."""
    high: Patterns
    """bf16 patterns of the maxima, uint16 [groups]."""
    low_index: Bytes
    """Where in its group each minimum stands, uint8 [groups]."""
    high_index: Bytes
    """Where in its group each maximum stands, uint8 [groups]."""

    def __post_init__(self) -> None:
        groups = len(self.low)
        for name, dtype in _SPIKE_FIELDS:
            _check(name, getattr(self, name), dtype, groups)


_SPIKE_FIELDS = (
    ("low", np.uint16),
    ("high", np.uint16),
    ("low_index", np.uint8),
    ("high_index", np.uint8),
)


@dataclass(frozen=True, eq=False)
class QuantizedGroups:
    """Groups of codes. Raises LinksimError unless all arrays have as many rows and their dtype."""

    scale: Patterns
    """bf16 patterns of the scales, uint16 [groups]."""
    zero: Patterns
    """Zero points, or bf16 patterns of the minima, uint16 [groups]."""
    codes: Bytes
    """uint8 [groups, values of a group]."""
    spikes: Spikes | None = None

    def __post_init__(self) -> None:
        if self.codes.ndim != 2:
            raise LinksimError(f"codes: got {self.codes.ndim} dimensions: expected 2")
        _check("scale", self.scale, np.uint16, len(self.codes))
        _check("zero", self.zero, np.uint16, len(self.codes))
        _check("codes", self.codes, np.uint8, len(self.codes))
        if self.spikes is not None:
            _check("low", self.spikes.low, np.uint16, len(self.codes))

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.codes)
