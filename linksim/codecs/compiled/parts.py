"""The small parts of a chunk, compiled: entry-point table, gap, symbols that are not coded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.codecs.compiled.memory import copy_bytes, load8, load64, store8, store64

_THREE, _SEVEN = np.uint64(3), np.uint64(7)


@njit(cache=True, nogil=True)
def read_table(table: Any, nbytes: Any, entries: Any, width: Any, starts: Any) -> Any:
    """Turn *entries* of *width* bits at *table* into run starts behind the first one.

    False where bits are set behind the last entry.
    """
    kept = np.uint64(0)
    kept_bits = 0
    stop = table + nbytes
    bit = load64(starts)
    for _ in range(entries):
        while kept_bits < width:
            kept |= load8(table) << np.uint64(kept_bits)
            kept_bits += 8
            table += 1
        bit += kept & np.uint64((1 << width) - 1)
        starts += 8
        store64(starts, bit)
        kept >>= np.uint64(width)
        kept_bits -= width
    return kept == 0 and table == stop


@njit(cache=True, nogil=True)
def gap_is_zero(data: Any, bit: Any, end: Any) -> Any:
    """Whether all bits from *bit* to byte *end* of *data* are zero."""
    byte = np.int64(bit >> _THREE)
    if byte >= end:
        return True
    if load8(data + byte) >> (bit & _SEVEN):
        return False
    while byte + 1 < end:
        byte += 1
        if load8(data + byte):
            return False
    return True


@njit(cache=True, nogil=True)
def unpack(source: Any, count: Any, symbol_bits: Any, target: Any) -> None:
    """Symbols of a raw chunk, *symbol_bits* each, first lowest."""
    if symbol_bits == 8:
        copy_bytes(source, target, count)
        return
    kept = np.uint64(0)
    kept_bits = 0
    for index in range(count):
        if kept_bits < symbol_bits:
            kept |= load8(source) << np.uint64(kept_bits)
            kept_bits += 8
            source += 1
        store8(target + index, kept & np.uint64((1 << symbol_bits) - 1))
        kept >>= np.uint64(symbol_bits)
        kept_bits -= symbol_bits
