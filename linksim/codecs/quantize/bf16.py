"""bf16 bit patterns as integers: taken apart, put in order, and made again with rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]
"""What all arithmetic here is done in: no value reaches 2**31."""
Patterns = NDArray[np.uint16]

FRACTION_BITS = 7
HIDDEN_BIT = 1 << FRACTION_BITS
SIGN_BIT = 1 << 15
NONFINITE_EXPONENT = 255
NAN = 0x7FC0
LARGEST_FINITE = 0x7F7F

_WIDEST = 25
"""Bits of the largest magnitude that `nearest` takes."""


def signs(patterns: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the sign bit is set."""
    negative: NDArray[np.bool_] = patterns >> 15 != 0
    return negative


def exponents(patterns: NDArray[np.integer]) -> Integers:
    """The exponent fields, 0 to 255."""
    return (patterns.astype(np.int32) >> FRACTION_BITS) & 255


def significands(patterns: NDArray[np.integer]) -> Integers:
    """128 to 255: the fraction with the hidden bit always set, in zeros and subnormals too."""
    return (patterns.astype(np.int32) & (HIDDEN_BIT - 1)) | HIDDEN_BIT


def order_keys(patterns: NDArray[np.integer]) -> Integers:
    """0 to 65535, rising in the total order of IEEE 754: -NaN, -inf, ..., -0, +0, ..., inf, NaN."""
    wide = patterns.astype(np.int32)
    return wide ^ np.where(signs(wide), 0xFFFF, SIGN_BIT).astype(np.int32)


def patterns_of_keys(keys: Integers) -> Integers:
    """The patterns whose `order_keys` are *keys*."""
    return keys ^ np.where(keys >> 15 != 0, SIGN_BIT, 0xFFFF).astype(np.int32)


def shifted_down(values: Integers, places: Integers) -> Integers:
    """values >> places where places may lie outside 0 to 31: 0 above, no shift below."""
    return values >> np.clip(places, 0, 31)


def signed(magnitudes: Integers, negative: NDArray[np.bool_]) -> Integers:
    """*magnitudes*, negated where *negative*."""
    return np.where(negative, -magnitudes, magnitudes)


def bit_lengths(magnitudes: Integers) -> Integers:
    """Bits of each magnitude; 0 of 0."""
    left, bits = magnitudes, np.zeros_like(magnitudes)
    for step in (16, 8, 4, 2, 1):
        large = left >> step != 0
        bits = bits + np.where(large, step, 0).astype(np.int32)
        left = np.where(large, left >> step, left)
    return bits + left


def nearest(values: Integers, unit_exponents: Integers) -> Patterns:
    """bf16 of values * 2**(unit_exponents - 127), ties to even.

    |values| < 2**25. What is too large becomes the largest finite number, what is below the
    smallest normal number +0.
    """
    magnitudes = np.abs(values)
    lengths = bit_lengths(magnitudes)
    dropped = _WIDEST - 1 - FRACTION_BITS
    wide = magnitudes << (_WIDEST - lengths)
    odd = (wide >> dropped) & 1
    rounded = (wide + (1 << (dropped - 1)) - 1 + odd) >> dropped
    # A significand rounded up to 256 carries into the exponent by itself.
    words = ((unit_exponents + lengths - 1) << FRACTION_BITS) + rounded - HIDDEN_BIT
    words = np.minimum(words, LARGEST_FINITE)
    words = np.where(values < 0, words | SIGN_BIT, words)
    vanishes = (magnitudes == 0) | ((words & ~SIGN_BIT) < HIDDEN_BIT) | (words < 0)
    return np.where(vanishes, 0, words).astype(np.uint16)
