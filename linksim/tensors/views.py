"""Symbol views: how a tensor is read as symbols of at most 8 bits.

A view cuts every value into *coded symbols*, which an entropy coder sees, and *rest bits*, which
travel as they are. `pooled` is the view of arXiv 2601.10673 (both bytes of a bf16 value share one
alphabet); `byte-planes` and `exponent` keep the nearly incompressible low bits out of the alphabet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.tensors.dtypes import NumberFormat, Tensor

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class SymbolView:
    """What a view does to one number format."""

    name: str
    fmt: NumberFormat
    symbols_per_value: int
    symbol_bits: int
    """Width of one coded symbol; the alphabet has 2**symbol_bits symbols."""
    rest_bits: int
    """Bits of every value that are not coded: 8 or 0."""

    @property
    def alphabet(self) -> int:
        """Number of different symbols."""
        return 1 << self.symbol_bits

    def split(self, values: Tensor) -> tuple[Bytes, Bytes]:
        """Coded symbols, uint8 [n * symbols_per_value], and rest bytes, uint8 [n] or [0]."""
        patterns = self.fmt.patterns(values)
        if self.name == "pooled":
            return patterns.view(np.uint8), np.empty(0, np.uint8)
        if self.name == "byte-planes":
            return (patterns >> 8).astype(np.uint8), patterns.astype(np.uint8)
        symbols = (patterns >> 7).astype(np.uint8)
        rest = ((patterns >> 8) & 0x80 | patterns & 0x7F).astype(np.uint8)
        return symbols, rest

    def join(self, symbols: Bytes, rest: Bytes) -> NDArray[Any]:
        """The values, flat, whose `split` is (*symbols*, *rest*)."""
        if self.name == "pooled":
            return np.ascontiguousarray(symbols).view(self.fmt.numpy)
        wide, low = symbols.astype(np.uint16), rest.astype(np.uint16)
        if self.name == "byte-planes":
            patterns = wide << 8 | low
        else:
            patterns = (low & 0x80) << 8 | wide << 7 | low & 0x7F
        return patterns.view(self.fmt.numpy)


VIEW_NAMES = ("pooled", "byte-planes", "exponent")
"""pooled: every byte of the value is a symbol (formats below 8 bits: the whole value).
byte-planes: the high byte is coded, the low byte is rest.
exponent: the 8 bits below the sign are coded (bf16: exactly the exponent; fp16: the exponent and
the three mantissa bits below it); sign and low 7 mantissa bits are rest."""


def symbol_view(name: str, fmt: NumberFormat) -> SymbolView:
    """The view called *name* of *fmt*; LinksimError if there is none."""
    if name not in VIEW_NAMES:
        raise LinksimError(f"unknown view {name!r}: expected one of {', '.join(VIEW_NAMES)}")
    if name == "pooled":
        per_value = 2 if fmt.bits == 16 else 1
        return SymbolView(name, fmt, per_value, min(fmt.bits, 8), 0)
    if fmt.bits != 16:
        raise LinksimError(f"view {name!r} needs a 16-bit format, not {fmt.name}: use 'pooled'")
    return SymbolView(name, fmt, 1, 8, 8)
