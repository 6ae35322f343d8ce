"""The group quantizer compiled: groups of codes from bf16 patterns, and patterns from groups.

The arithmetic is that of `linksim.codecs.quantize.definition`, group by group, on int64. All
constants and tables come from the `GroupQuantizer` that the caller holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.codecs.quantize.bf16 import LARGEST_FINITE, NAN, NONFINITE_EXPONENT
from linksim.codecs.quantize.definition import (
    ALIGNED_BITS,
    GUARD_BITS,
    LEAST_EXPONENT,
    RANGE_FRACTION_BITS,
)

DOUBLE_FRACTION_BITS, DOUBLE_BIAS = 52, 1023
_DROPPED = DOUBLE_FRACTION_BITS - 7
_HALF = (1 << (_DROPPED - 1)) - 1
_REBIAS = (DOUBLE_BIAS - 127) << 7


@njit(cache=True, nogil=True, inline="always")
def order_key(word: Any) -> Any:
    """Rises in the total order of IEEE 754, as `bf16.order_keys`."""
    return word ^ (0x8000 | (0x7FFF * (word >> 15)))


@njit(cache=True, nogil=True, inline="always")
def _word(key: Any) -> Any:
    """The pattern of a key."""
    return key ^ (0x8000 | (0x7FFF * (1 - (key >> 15))))


@njit(cache=True, nogil=True)
def _aligned(word: Any, grid: Any) -> Any:
    """An end of a range on the grid on which ranges are measured."""
    places = min(grid - ((word >> 7) & 255), 31)
    magnitude = (((word & 127) | 128) << (ALIGNED_BITS - 8)) >> places
    return -magnitude if word >> 15 else magnitude


@njit(cache=True, nogil=True)
def _scale(
    low: Any, high: Any, bits: Any, range_factor: Any, most_zeros: Any, fraction: Any
) -> Any:
    """Exponent and significand of the scale of a group that reaches from *low* to *high*."""
    grid = max(max((low >> 7) & 255, (high >> 7) & 255), LEAST_EXPONENT)
    reach = _aligned(high, grid) - _aligned(low, grid)
    zeros = 0
    while zeros < most_zeros and not reach >> (ALIGNED_BITS - zeros):
        zeros += 1
    wide = ((reach << zeros) * range_factor) >> RANGE_FRACTION_BITS
    dropped = ALIGNED_BITS - fraction
    rounded = (wide + (1 << (dropped - 1))) >> dropped
    carry = 0
    if rounded >= 2 << fraction:
        carry, rounded = 1, (wide + (1 << dropped)) >> (dropped + 1)
    return grid + 1 - zeros - bits + carry, (rounded << (7 - fraction)) | 128


@njit(cache=True, nogil=True)
def _extremes(words: Any, first: Any, stop: Any) -> Any:
    """Least and greatest key of words[first:stop]; of none, as if all were kept apart."""
    least, greatest = np.int32(0xFFFF), np.int32(0)
    for i in range(first, stop):
        key = np.int32(order_key(np.int32(words[i])))
        least = min(least, key)
        greatest = max(greatest, key)
    return least, greatest


@njit(cache=True, nogil=True)
def _spike_places(words: Any, first: Any, stop: Any, least: Any, greatest: Any) -> Any:
    """Index of the first word whose key is *least* and of the last whose key is *greatest*."""
    low, high = first, stop - 1
    while order_key(np.int32(words[low])) != least:
        low += 1
    while order_key(np.int32(words[high])) != greatest:
        high -= 1
    return low, high


@njit(cache=True, nogil=True)
def _extremes_without(words: Any, first: Any, stop: Any, low_at: Any, high_at: Any) -> Any:
    """Least and greatest key of words[first:stop] but for the two spikes."""
    one, other = min(low_at, high_at), max(low_at, high_at)
    least, greatest = _extremes(words, first, one)
    for start, end in ((one + 1, other), (other + 1, stop)):
        less, more = _extremes(words, start, end)
        least, greatest = min(least, less), max(greatest, more)
    return least, greatest


@njit(cache=True, nogil=True)
def _codes_by_point(
    words: Any, codes: Any, first: Any, stop: Any, zero: Any, shift: Any, reciprocal: Any, top: Any
) -> None:
    shift, reciprocal = np.int32(shift), np.int32(reciprocal)
    zero, top = np.int32(zero), np.int32(top)
    for i in range(first, stop):
        word = np.int32(words[i])
        places = np.int32(shift - ((word >> np.int32(7)) & np.int32(255)))
        places = min(max(places, np.int32(0)), np.int32(31))
        scaled = np.int32(((word & np.int32(127)) | np.int32(128)) * reciprocal)
        steps = np.int32((np.int32(scaled >> places) + np.int32(1)) >> np.int32(1))
        code = np.int32(zero - steps) if word >> np.int32(15) else np.int32(zero + steps)
        codes[i] = min(max(code, np.int32(0)), top)


@njit(cache=True, nogil=True, inline="always")
def _above(word: Any, unit: Any, top: Any) -> Any:
    """A value in units of the scale's power of two over 2**GUARD_BITS, to nearest."""
    places: Any = np.int32(top - ((word >> np.int32(7)) & np.int32(255)))
    places = min(max(places, np.int32(0)), np.int32(31))
    wide = np.int32(((word & np.int32(127)) | np.int32(128)) << unit)
    magnitude = np.int32((np.int32(wide >> np.int32(places)) + np.int32(1)) >> np.int32(1))
    return np.int32(-magnitude) if word >> np.int32(15) else magnitude


@njit(cache=True, nogil=True)
def _codes_by_minimum(
    words: Any, codes: Any, first: Any, stop: Any, low: Any, scale_top: Any, bits: Any, factor: Any
) -> None:
    unit, scale_top = np.int32(bits + GUARD_BITS + 2), np.int32(scale_top)
    dropped = np.int32(bits + 4 + GUARD_BITS)
    half, factor = np.int32(1 << (dropped - 1)), np.int32(factor)
    top, origin = np.int32((1 << bits) - 1), _above(np.int32(low), unit, scale_top)
    for i in range(first, stop):
        distance = np.int32(_above(np.int32(words[i]), unit, scale_top) - origin)
        codes[i] = min(np.int32((np.int32(distance * factor) + half) >> dropped), top)


@njit(cache=True, nogil=True)
def _steps(word: Any, shift: Any, reciprocal: Any) -> Any:
    """The steps from 0 to one value, rounded."""
    places = min(max(shift - ((word >> 7) & 255), 0), 31)
    return (((((word & 127) | 128) * reciprocal) >> places) + 1) >> 1


@njit(cache=True, nogil=True)
def quantize(
    words: Any,
    group: Any,
    bits: Any,
    zero_point: Any,
    keep_spikes: Any,
    constants: Any,
    reciprocals: Any,
    scale: Any,
    zero: Any,
    codes: Any,
    spikes: Any,
) -> None:
    """Quantize the groups of *words* uint16 [groups * group], whole ones.

    *constants* are range factor, most leading zeros and fraction bits of a scale. Writes *scale*
    and *zero* uint16 [groups], *codes* uint8 [groups * group] and, where they are kept, *spikes*
    uint16 [groups, 4]: minimum, maximum and their indices.
    """
    range_factor, most_zeros, fraction = constants
    top = (1 << bits) - 1
    for row in range(len(scale)):
        first, stop = row * group, (row + 1) * group
        least, greatest = _extremes(words, first, stop)
        low_at = high_at = first
        low, high = _word(np.int64(least)), _word(np.int64(greatest))
        poisoned = (low >> 7) & 255 == NONFINITE_EXPONENT or (high >> 7) & 255 == NONFINITE_EXPONENT
        if keep_spikes:
            low_at, high_at = _spike_places(words, first, stop, least, greatest)
            spikes[row, 0], spikes[row, 1] = words[low_at], words[high_at]
            spikes[row, 2], spikes[row, 3] = low_at - first, high_at - first
        if poisoned:
            scale[row], zero[row] = NAN, 0 if zero_point else NAN
            codes[first:stop] = 0
            continue
        if keep_spikes:
            least, greatest = _extremes_without(words, first, stop, low_at, high_at)
            low, high = _word(np.int64(least)), _word(np.int64(greatest))
        if zero_point:
            low = low if low >> 15 else 0
            high = 0 if high >> 15 else high
        exponent, significand = _scale(low, high, bits, range_factor, most_zeros, fraction)
        reciprocal = reciprocals[significand - 128]
        scale[row] = (exponent << 7) | (significand & 127)
        if zero_point:
            # k + 6 + S of the definition, with k = bits + 4.
            shift = bits + 10 + exponent
            origin = min(_steps(low, shift, reciprocal), top)
            zero[row] = origin
            _codes_by_point(words, codes, first, stop, origin, shift, reciprocal, top)
        else:
            origin, zero[row] = 0, low
            _codes_by_minimum(words, codes, first, stop, low, exponent + 8 + bits, bits, reciprocal)
        if keep_spikes:
            codes[low_at] = codes[high_at] = origin


@njit(cache=True, nogil=True)
def _minimum_in_scale_units(word: Any, exponent: Any) -> Any:
    own = (word >> 7) & 255
    if own == 0:
        return np.int64(0)
    magnitude = np.int64((word & 127) | 128)
    if own >= exponent:
        magnitude <<= min(own - exponent, 16)
    else:
        magnitude >>= min(exponent - own, 31)
    return -magnitude if word >> 15 else magnitude


@njit(cache=True, nogil=True, inline="always")
def _level(base: Any, step: Any, code: Any) -> Any:
    """bf16 pattern of base + step * code, nearest, ties to even; saturated, 0 below the normal.

    A level is an integer below 2**25 times a power of two, so float64 holds the product and the sum
    exactly, and its bits are rounded to those of bf16 here.
    """
    bits = np.float64(base + step * np.float64(code)).view(np.int64)
    magnitude = bits & 0x7FFFFFFFFFFFFFFF
    rounded = (magnitude + _HALF + ((magnitude >> _DROPPED) & 1)) >> _DROPPED
    word: Any = min(rounded - _REBIAS, LARGEST_FINITE)
    word |= np.int64(np.uint64(bits) >> np.uint64(63)) << 15
    return 0 if rounded < _REBIAS + 128 else word


@njit(cache=True, nogil=True)
def dequantize(
    scale: Any,
    zero: Any,
    codes: Any,
    group: Any,
    bits: Any,
    zero_point: Any,
    spikes: Any,
    out: Any,
) -> None:
    """The bf16 patterns of whole groups, to *out* uint16 [groups * group].

    *codes* are below 2**bits. *spikes* as in `quantize`, or [0, 4] for none. Where a group has more
    values than there are levels, its levels are found first.
    """
    levels = np.empty(1 << bits, np.uint16)
    for row in range(len(scale)):
        first, stop = row * group, (row + 1) * group
        exponent = np.int64((scale[row] >> 7) & 255)
        origin_word = np.int64(zero[row])
        poisoned = exponent == NONFINITE_EXPONENT
        poisoned |= not zero_point and (origin_word >> 7) & 255 == NONFINITE_EXPONENT
        if poisoned:
            out[first:stop] = NAN
            continue
        significand = np.int64((scale[row] & 127) | 128)
        if zero_point:
            origin = -origin_word * significand
        else:
            origin = _minimum_in_scale_units(origin_word, exponent)
        unit = np.ldexp(1.0, exponent - 134)
        step, base = significand * unit, origin * unit
        if len(levels) < group:
            for code in range(len(levels)):
                levels[code] = _level(base, step, code)
            for i in range(first, stop):
                out[i] = levels[codes[i]]
        else:
            for i in range(first, stop):
                out[i] = _level(base, step, codes[i])
        if len(spikes):
            out[first + spikes[row, 2]] = spikes[row, 0]
            out[first + spikes[row, 3]] = spikes[row, 1]
