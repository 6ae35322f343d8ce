"""Decoding chunks, compiled: layout, rules, and runs four at a time.

Sizes are checked once per chunk, before anything is decoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.codecs.chunk import MAX_BIAS, RAW_SLOT
from linksim.codecs.compiled.encoding import HEADER_NBYTES
from linksim.codecs.compiled.memory import copy_bytes, load8, load16, load64, store8, store64
from linksim.codecs.compiled.parts import gap_is_zero, read_table, unpack
from linksim.codecs.compiled.runs import (
    LANES,
    decode_eight_wide,
    decode_four,
    decode_runs,
    is_wide,
)
from linksim.codecs.compiled.tables import LONG_BITS, LOOKUP_WORDS


@njit(cache=True, nogil=True)
def _read_layout(
    data: Any,
    start: Any,
    end: Any,
    expected: Any,
    rest_bits: Any,
    run_symbols: Any,
    slots: Any,
    entry_bits: Any,
    starts: Any,
) -> Any:
    """Header and table of the chunk at bytes *start* to *end*; count 0 where a rule is broken.

    Returns count, slot, bias and the byte where its body ends; the bits where its runs begin are
    put to *starts*. *expected* is how many symbols it must hold.
    """
    broken = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    if end - start < HEADER_NBYTES:
        return broken
    header = np.int64(load16(data + start) | load8(data + start + 2) << np.uint64(16))
    count, slot, bias = (header & 0x1FFF) + 1, header >> 13 & 0x1F, header >> 18
    if slot >= slots or (slot == RAW_SLOT and bias) or count != expected:
        return broken
    width = np.int64(load64(entry_bits + 8 * slot))
    rest_nbytes = count if rest_bits else 0
    entries = (count + run_symbols - 1) // run_symbols - 1 if slot != RAW_SLOT else 0
    table_nbytes = (entries * width + 7) // 8
    body = end - rest_nbytes - table_nbytes
    if (body - start) * 8 < HEADER_NBYTES * 8 + count:
        return broken
    store64(starts, np.uint64((start + HEADER_NBYTES) * 8))
    if not read_table(data + body + rest_nbytes, table_nbytes, entries, width, starts):
        return broken
    if np.int64(load64(starts + 8 * entries)) > body * 8:
        return broken
    return count, slot, bias - 64 if bias > MAX_BIAS else bias, body


@njit(cache=True, nogil=True)
def _complete(
    data: Any,
    body: Any,
    count: Any,
    slot: Any,
    bias: Any,
    exact: Any,
    symbol_bits: Any,
    rest_bits: Any,
    run_symbols: Any,
    starts: Any,
    ends: Any,
    symbols: Any,
    rest: Any,
) -> Any:
    """Check where runs and body end, add the bias, copy the rest bytes; False on a broken rule."""
    entries = (count - 1) // run_symbols if slot != RAW_SLOT else 0
    for run in range(entries):
        if load64(ends + 8 * run) != load64(starts + 8 * run + 8):
            return False
    behind = load64(ends + 8 * entries)
    left = body * 8 - np.int64(behind)
    if left < 0 or (exact and left >= 8) or not gap_is_zero(data, behind, body):
        return False
    if bias:
        for index in range(count):
            symbol = load8(symbols + index) + np.uint64(bias)
            store8(symbols + index, symbol & np.uint64((1 << symbol_bits) - 1))
    if rest_bits:
        copy_bytes(data + body, rest, count)
    return True


@njit(cache=True, nogil=True)
def _decode_chunk(
    data: Any,
    size: Any,
    start: Any,
    end: Any,
    expected: Any,
    exact: Any,
    symbol_bits: Any,
    rest_bits: Any,
    run_symbols: Any,
    slots: Any,
    entry_bits: Any,
    lookups: Any,
    longs: Any,
    lengths: Any,
    most: Any,
    symbols: Any,
    rest: Any,
    starts: Any,
    ends: Any,
    room: Any,
) -> Any:
    """One chunk, bytes *start* to *end* of *data*; False where it breaks a rule.

    *expected* is how many symbols it must hold, *exact* says that its size must be exact. *symbols*
    and *rest* are the addresses that its symbols and rest bytes go to; *room* as in `decode_runs`.
    """
    count, slot, bias, body = _read_layout(
        data, start, end, expected, rest_bits, run_symbols, slots, entry_bits, starts
    )
    if count == 0:
        return False
    if slot == RAW_SLOT:
        behind = (start + HEADER_NBYTES) * 8 + count * symbol_bits
        if behind > body * 8:
            return False
        unpack(data + start + HEADER_NBYTES, count, symbol_bits, symbols)
        store64(ends, np.uint64(behind))
    elif not decode_runs(
        data,
        size,
        count,
        run_symbols,
        starts,
        ends,
        symbols,
        lookups + 8 * slot * LOOKUP_WORDS,
        longs + 2 * slot * (1 << LONG_BITS),
        lengths + slot * 256,
        np.int64(load64(most + 8 * slot)),
        room,
    ):
        return False
    return _complete(
        data,
        body,
        count,
        slot,
        bias,
        exact,
        symbol_bits,
        rest_bits,
        run_symbols,
        starts,
        ends,
        symbols,
        rest,
    )


@njit(cache=True, nogil=True)
def _decode_four_chunks(
    data: Any,
    size: Any,
    bounds: Any,
    expected: Any,
    symbol_bits: Any,
    rest_bits: Any,
    run_symbols: Any,
    slots: Any,
    entry_bits: Any,
    lookups: Any,
    longs: Any,
    lengths: Any,
    most: Any,
    symbols: Any,
    rest: Any,
    starts: Any,
    ends: Any,
    next_start: Any,
    layouts: Any,
    room: Any,
) -> Any:
    """Four equally long chunks of one slot side by side; False where they are none such.

    Lanes in different chunks write to places far apart, which processors see coming. *bounds* is
    the address of the chunks' five bounds, *layouts* has room for 16 numbers, and *next_start*
    bytes of *starts* and *ends* belong to each chunk; *room* as in `decode_runs`.
    """
    if expected % run_symbols:
        return False
    for lane in range(LANES):
        start = np.int64(load64(bounds + 8 * lane))
        end = np.int64(load64(bounds + 8 * lane + 8))
        count, slot, bias, body = _read_layout(
            data,
            start,
            end,
            expected,
            rest_bits,
            run_symbols,
            slots,
            entry_bits,
            starts + lane * next_start,
        )
        if count == 0 or slot == RAW_SLOT or (lane and slot != layouts[1]):
            return False
        layouts[4 * lane], layouts[4 * lane + 1] = count, slot
        layouts[4 * lane + 2], layouts[4 * lane + 3] = bias, body
    slot = layouts[1]
    lookup, long = lookups + 8 * slot * LOOKUP_WORDS, longs + 2 * slot * (1 << LONG_BITS)
    length, symbols_found = lengths + slot * 256, np.int64(load64(most + 8 * slot))
    runs, run = expected // run_symbols, 0
    while run < runs:
        if is_wide(symbols_found) and run + 1 < runs:
            whole = decode_eight_wide(
                data,
                size,
                starts + 8 * run,
                ends + 8 * run,
                next_start,
                symbols + run * run_symbols,
                expected,
                run_symbols,
                lookup,
                long,
                length,
                symbols_found,
            )
            run += 2
        else:
            whole = decode_four(
                data,
                size,
                starts + 8 * run,
                ends + 8 * run,
                next_start,
                symbols + run * run_symbols,
                expected,
                run_symbols,
                lookup,
                long,
                length,
                symbols_found,
                (run + 1) * run_symbols + 8 <= expected + room,
            )
            run += 1
        if not whole:
            return False
    for lane in range(LANES):
        if not _complete(
            data,
            layouts[4 * lane + 3],
            layouts[4 * lane],
            slot,
            layouts[4 * lane + 2],
            True,
            symbol_bits,
            rest_bits,
            run_symbols,
            starts + lane * next_start,
            ends + lane * next_start,
            symbols + lane * expected,
            rest + lane * expected,
        ):
            return False
    return True


@njit(cache=True, nogil=True)
def _alike(firsts: Any, chunk: Any) -> Any:
    """Whether four chunks from *chunk* on hold as many symbols each."""
    count = firsts[chunk + 1] - firsts[chunk]
    alike = True
    for other in range(chunk + 1, chunk + LANES):
        alike &= firsts[other + 1] - firsts[other] == count
    return alike


@njit(cache=True, nogil=True)
def decode_chunks(
    data: Any,
    bounds: Any,
    firsts: Any,
    exact: Any,
    symbol_bits: Any,
    rest_bits: Any,
    run_symbols: Any,
    entry_bits: Any,
    lookups: Any,
    longs: Any,
    lengths: Any,
    most: Any,
    symbols: Any,
    rest: Any,
) -> Any:
    """Decode chunks data[bounds[k]:bounds[k + 1]] to symbols firsts[k] to firsts[k + 1].

    The tables are by slot, [slots, ...], the raw slot's unused. Returns the first chunk that breaks
    a rule of the format, -1 where none does. *symbols* is uint8 of at least firsts[-1]; *rest* as
    long, or empty without rest bits. Where *exact* every chunk must have its exact size.
    """
    longest = 1
    for chunk in range(firsts.size - 1):
        longest = max(longest, firsts[chunk + 1] - firsts[chunk])
    row = (longest + run_symbols - 1) // run_symbols + LANES
    starts = np.zeros(LANES * row, np.uint64)
    ends = np.zeros(LANES * row, np.uint64)
    layouts = np.zeros(16, np.int64)
    data_at, symbols_at = np.int64(data.ctypes.data), np.int64(symbols.ctypes.data)
    entry_bits_at, lengths_at = np.int64(entry_bits.ctypes.data), np.int64(lengths.ctypes.data)
    lookups_at, longs_at = np.int64(lookups.ctypes.data), np.int64(longs.ctypes.data)
    most_at = np.int64(most.ctypes.data)
    rest_at, bounds_at = np.int64(rest.ctypes.data), np.int64(bounds.ctypes.data)
    starts_at, ends_at = np.int64(starts.ctypes.data), np.int64(ends.ctypes.data)
    chunk, chunks = 0, bounds.size - 1
    while chunk < chunks:
        expected = firsts[chunk + 1] - firsts[chunk]
        if (
            exact
            and chunk + LANES <= chunks
            and _alike(firsts, chunk)
            and _decode_four_chunks(
                data_at,
                data.size,
                bounds_at + 8 * chunk,
                expected,
                symbol_bits,
                rest_bits,
                run_symbols,
                entry_bits.size,
                entry_bits_at,
                lookups_at,
                longs_at,
                lengths_at,
                most_at,
                symbols_at + firsts[chunk],
                rest_at + firsts[chunk],
                starts_at,
                ends_at,
                8 * row,
                layouts,
                firsts[chunks] - firsts[chunk + LANES],
            )
        ):
            chunk += LANES
            continue
        if not _decode_chunk(
            data_at,
            data.size,
            bounds[chunk],
            bounds[chunk + 1],
            expected,
            exact,
            symbol_bits,
            rest_bits,
            run_symbols,
            entry_bits.size,
            entry_bits_at,
            lookups_at,
            longs_at,
            lengths_at,
            most_at,
            symbols_at + firsts[chunk],
            rest_at + firsts[chunk],
            starts_at,
            ends_at,
            firsts[chunks] - firsts[chunk + 1],
        ):
            return chunk
        chunk += 1
    # The arrays must outlive the last use of their addresses.
    return -1 if starts.size == ends.size else 0


@njit(cache=True, nogil=True)
def chunk_counts(data: Any, bounds: Any, counts: Any) -> Any:
    """Read how many symbols every chunk says it holds into int64 *counts*.

    Returns the first chunk that is shorter than a header, -1 where none is.
    """
    for chunk in range(bounds.size - 1):
        if bounds[chunk + 1] - bounds[chunk] < HEADER_NBYTES:
            return chunk
        at = bounds[chunk]
        counts[chunk] = ((np.int64(data[at]) | np.int64(data[at + 1]) << 8) & 0x1FFF) + 1
    return -1
