"""Records of quantized groups compiled: metadata and planes written, read and checked.

Eight codes are handled at a time, as the bytes of one 64-bit word: the w low bits of each are moved
next to each other by three shifts, and apart again by the same three backwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.codecs.compiled.memory import load8, load64, store8, store64
from linksim.codecs.quantize.bf16 import NAN, NONFINITE_EXPONENT
from linksim.codecs.quantize.kernels import order_key

BLOCK = 32
_STEPS = (1, 2, 4)
"""Codes that lie together before each of the three moves."""


def plane_masks(width: int) -> tuple[int, int, int, int]:
    """Where the bits of eight units of *width* bits lie, one to eight of them together."""
    masks = []
    for together in (*_STEPS, 8):
        run = (1 << (width * together)) - 1
        masks.append(sum(run << (8 * together * i) for i in range(8 // together)))
    return masks[0], masks[1], masks[2], masks[3]


@njit(cache=True, nogil=True, inline="always")
def _together(word: Any, left: Any, width: Any, masks: Any) -> Any:
    """The units of *width* bits from bit *left* of eight bytes on, first lowest."""
    gap = np.uint64(8 - width)
    word = (word >> np.uint64(left)) & masks[0]
    word = (word | (word >> gap)) & masks[1]
    word = (word | (word >> (gap * np.uint64(2)))) & masks[2]
    return (word | (word >> (gap * np.uint64(4)))) & masks[3]


@njit(cache=True, nogil=True, inline="always")
def _apart(units: Any, width: Any, masks: Any) -> Any:
    """The inverse of `_together` with left = 0."""
    gap = np.uint64(8 - width)
    word = (units | (units << (gap * np.uint64(4)))) & masks[2]
    word = (word | (word << (gap * np.uint64(2)))) & masks[1]
    return (word | (word << gap)) & masks[0]


@njit(cache=True, nogil=True)
def write_planes(codes: Any, values: Any, bits: Any, widths: Any, masks: Any, out: Any) -> None:
    """The planes of *values* codes at address *codes*, whole blocks, to address *out*."""
    for block in range(values // BLOCK):
        source = codes + block * BLOCK
        left = bits
        for plane in range(len(widths)):
            width = widths[plane]
            left -= width
            for eight in range(0, BLOCK, 8):
                units = _together(load64(source + eight), left, width, masks[plane])
                for byte in range(width):
                    store8(out + byte, units >> np.uint64(8 * byte))
                out += width


@njit(cache=True, nogil=True)
def read_planes(data: Any, values: Any, bits: Any, widths: Any, masks: Any, codes: Any) -> None:
    """The inverse of `write_planes`."""
    for block in range(values // BLOCK):
        target = codes + block * BLOCK
        left = bits
        for plane in range(len(widths)):
            width = widths[plane]
            left -= width
            for eight in range(0, BLOCK, 8):
                units = np.uint64(0)
                for byte in range(width):
                    units |= load8(data + byte) << np.uint64(8 * byte)
                word = _apart(units, width, masks[plane]) << np.uint64(left)
                if plane:
                    word |= load64(target + eight)
                store64(target + eight, word)
                data += width


@njit(cache=True, nogil=True, inline="always")
def _put(out: Any, number: Any, nbytes: Any) -> Any:
    for byte in range(nbytes):
        store8(out + byte, np.uint64(number >> (8 * byte)))
    return out + nbytes


@njit(cache=True, nogil=True, inline="always")
def _get(data: Any, nbytes: Any) -> Any:
    number = np.int64(0)
    for byte in range(nbytes):
        number |= np.int64(load8(data + byte)) << (8 * byte)
    return number


@njit(cache=True, nogil=True)
def write_metadata(
    row: Any,
    bits: Any,
    zero_point: Any,
    fraction: Any,
    scale: Any,
    zero: Any,
    spikes: Any,
    out: Any,
) -> Any:
    """The metadata of group *row* to address *out*; the address behind it."""
    if len(spikes):
        out = _put(out, np.int64(spikes[row, 0]), 2)
        out = _put(out, np.int64(spikes[row, 1]), 2)
    if not zero_point:
        out = _put(out, np.int64(scale[row]), 2)
        out = _put(out, np.int64(zero[row]), 2)
    elif bits <= 4:
        out = _put(out, np.int64(zero[row]) | (np.int64(scale[row]) >> (7 - fraction)) << bits, 2)
    else:
        out = _put(out, np.int64(zero[row]), 2)
        out = _put(out, np.int64(scale[row]), 2)
    if len(spikes):
        out = _put(out, np.int64(spikes[row, 2]), 1)
        out = _put(out, np.int64(spikes[row, 3]), 1)
    return out


@njit(cache=True, nogil=True)
def read_metadata(
    row: Any,
    bits: Any,
    zero_point: Any,
    fraction: Any,
    data: Any,
    scale: Any,
    zero: Any,
    spikes: Any,
) -> Any:
    """The inverse of `write_metadata`: the address behind it, or 0 for a reserved byte not 0."""
    if len(spikes):
        spikes[row, 0], spikes[row, 1] = _get(data, 2), _get(data + 2, 2)
        data += 4
    if not zero_point:
        scale[row], zero[row] = _get(data, 2), _get(data + 2, 2)
        data += 4
    elif bits <= 4:
        both = _get(data, 2)
        zero[row], scale[row] = both & ((1 << bits) - 1), (both >> bits) << (7 - fraction)
        data += 2
    else:
        zero[row], scale[row] = _get(data, 1), _get(data + 2, 2)
        if _get(data + 1, 1):
            return 0
        data += 4
    if len(spikes):
        spikes[row, 2], spikes[row, 3] = _get(data, 1), _get(data + 1, 1)
        data += 2
    return data


@njit(cache=True, nogil=True)
def is_sound(
    row: Any,
    group: Any,
    bits: Any,
    zero_point: Any,
    least_exponent: Any,
    most_exponent: Any,
    scale: Any,
    zero: Any,
    codes: Any,
    spikes: Any,
) -> Any:
    """Whether group *row* keeps the rules of `docs/quantizer.md` for scale, zero and spikes."""
    word, origin = np.int64(scale[row]), np.int64(zero[row])
    poisoned = word == NAN
    if poisoned:
        if origin != (0 if zero_point else NAN):
            return False
        for i in range(row * group, (row + 1) * group):
            if codes[i]:
                return False
    elif not least_exponent <= word >> 7 <= most_exponent:
        return False
    elif zero_point:
        if origin >> bits:
            return False
    elif (origin >> 7) & 255 == NONFINITE_EXPONENT:
        return False
    if not len(spikes):
        return True
    low, high = np.int64(spikes[row, 0]), np.int64(spikes[row, 1])
    if spikes[row, 2] >= group or spikes[row, 3] >= group or spikes[row, 2] == spikes[row, 3]:
        return False
    finite = (low >> 7) & 255 < NONFINITE_EXPONENT and (high >> 7) & 255 < NONFINITE_EXPONENT
    return order_key(low) <= order_key(high) and finite != poisoned


@njit(cache=True, nogil=True)
def write_records(
    form: Any, widths: Any, masks: Any, scale: Any, zero: Any, codes: Any, spikes: Any, out: Any
) -> None:
    """Whole records of all groups to address *out*; *codes* is an address.

    *form* is bits, group, whether there is a zero point, fraction bits of a scale, groups a record.
    """
    bits, group, zero_point, fraction, together = form
    for first in range(0, len(scale), together):
        for row in range(first, first + together):
            out = write_metadata(row, bits, zero_point, fraction, scale, zero, spikes, out)
        values = together * group
        write_planes(codes + first * group, values, bits, widths, masks, out)
        out += values * bits // 8


@njit(cache=True, nogil=True)
def read_records(
    form: Any,
    exponents: Any,
    widths: Any,
    masks: Any,
    data: Any,
    scale: Any,
    zero: Any,
    codes: Any,
    code_address: Any,
    spikes: Any,
) -> Any:
    """Read whole records from address *data*: the first group that breaks a rule, or -1."""
    bits, group, zero_point, fraction, together = form
    for first in range(0, len(scale), together):
        for row in range(first, first + together):
            behind = read_metadata(row, bits, zero_point, fraction, data, scale, zero, spikes)
            if behind == 0:
                return row
            data = behind
        values = together * group
        read_planes(data, values, bits, widths, masks, code_address + first * group)
        data += values * bits // 8
        for row in range(first, first + together):
            if not is_sound(
                row, group, bits, zero_point, exponents[0], exponents[1], scale, zero, codes, spikes
            ):
                return row
    return -1
