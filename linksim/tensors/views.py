"""Symbol views: how a tensor is read as symbols of at most 8 bits.

A view cuts every value into *coded symbols*, which an entropy coder sees, and *rest bits*, which
travel as they are. `pooled` is the view of arXiv 2601.10673 (both bytes of a bf16 value share one
alphabet); `byte-planes` and `exponent` keep the nearly incompressible low bits out of the alphabet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.tensors.dtypes import NumberFormat, Tensor

Bytes = NDArray[np.uint8]
Patterns = NDArray[np.uint16]


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
        symbols, rest = np.empty(len(patterns), np.uint8), np.empty(len(patterns), np.uint8)
        kernel = _split_bytes if self.name == "byte-planes" else _split_exponents
        kernel(patterns, symbols, rest)
        return symbols, rest

    def join(self, symbols: Bytes, rest: Bytes, out: Tensor | None = None) -> NDArray[Any]:
        """The values, flat, whose `split` is (*symbols*, *rest*).

        They are written to *out* where it is given: flat, as long, and of the view's format.
        """
        if self.name == "pooled":
            values: Tensor = np.ascontiguousarray(symbols).view(self.fmt.numpy)
            if out is None:
                return values
            np.copyto(out, values)
            return out
        values = np.empty(len(symbols), self.fmt.numpy) if out is None else out
        if not len(symbols) == len(rest) == len(values):
            raise LinksimError(
                f"view {self.name!r}: {len(symbols)} symbols, {len(rest)} rest bytes and room for "
                f"{len(values)} values: expected as many of each"
            )
        kernel = _join_bytes if self.name == "byte-planes" else _join_exponents
        kernel(np.ascontiguousarray(symbols), np.ascontiguousarray(rest), self.fmt.patterns(values))
        return values


# Constants of 16 bits keep the arithmetic in 16 bits, which vectorises best.
_EIGHT, _SEVEN = np.uint16(8), np.uint16(7)
_LOW_BYTE, _SIGN, _LOW_SEVEN = np.uint16(0xFF), np.uint16(0x80), np.uint16(0x7F)


@njit(cache=True, nogil=True)
def _split_bytes(patterns: Patterns, symbols: Bytes, rest: Bytes) -> None:
    for i in range(patterns.size):
        symbols[i] = patterns[i] >> _EIGHT
        rest[i] = patterns[i] & _LOW_BYTE


@njit(cache=True, nogil=True)
def _split_exponents(patterns: Patterns, symbols: Bytes, rest: Bytes) -> None:
    for i in range(patterns.size):
        symbols[i] = (patterns[i] >> _SEVEN) & _LOW_BYTE
        rest[i] = (patterns[i] >> _EIGHT) & _SIGN | patterns[i] & _LOW_SEVEN


@njit(cache=True, nogil=True)
def _join_bytes(symbols: Bytes, rest: Bytes, patterns: Patterns) -> None:
    for i in range(patterns.size):
        patterns[i] = np.uint16(symbols[i]) << _EIGHT | np.uint16(rest[i])


@njit(cache=True, nogil=True)
def _join_exponents(symbols: Bytes, rest: Bytes, patterns: Patterns) -> None:
    for i in range(patterns.size):
        low = np.uint16(rest[i])
        patterns[i] = (low & _SIGN) << _EIGHT | np.uint16(symbols[i]) << _SEVEN | low & _LOW_SEVEN


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
