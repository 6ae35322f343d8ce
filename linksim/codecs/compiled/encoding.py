"""Encoding chunks, compiled.

Words of eight symbols are combined by pair look-ups into at most 64 bits and stored with one
unaligned store; what is behind the last whole byte is kept for the next store.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.codecs.chunk import HEADER_BITS, RAW_SLOT
from linksim.codecs.compiled.memory import copy_bytes, load8, load16, load32, load64, store64

HEADER_NBYTES = HEADER_BITS // 8
STORE_SLACK = 8
"""Bytes behind the output that a store may touch."""
_FLUSH_LIMIT = np.uint64(56)
_WHOLE_BYTES = np.uint64(0x38)
_THREE, _SEVEN, _SIXTY_THREE = np.uint64(3), np.uint64(7), np.uint64(63)


@njit(inline="always")
def _quad(source: Any, pair_words: Any, pair_lengths: Any) -> Any:
    """Word and length of four symbols."""
    first, second = np.int64(load16(source)), np.int64(load16(source + 2))
    length = load8(pair_lengths + first)
    word = load32(pair_words + 4 * first)
    word |= load32(pair_words + 4 * second) << (length & _SIXTY_THREE)
    return word, length + load8(pair_lengths + second)


@njit(inline="always")
def _flush(kept: Any, kept_bits: Any, word: Any, bits: Any, place: Any) -> Any:
    """Append *bits* (at most 56) of *word*; *kept_bits* below 8 are waiting in *kept*."""
    kept |= word << (kept_bits & _SIXTY_THREE)
    kept_bits += bits
    store64(place, kept)
    place += np.int64(kept_bits >> _THREE)
    # At most 63 bits are waiting here, so the shift is by at most 56.
    kept >>= kept_bits & _WHOLE_BYTES
    return kept, kept_bits & _SEVEN, place


@njit(cache=True, nogil=True)
def _encode_single(
    source: Any, stop: Any, place: Any, kept: Any, kept_bits: Any, words: Any, lengths: Any
) -> Any:
    """Append the words of the symbols from *source* to *stop* one by one."""
    while source < stop:
        symbol = np.int64(load8(source))
        length = load8(lengths + symbol)
        if length == 0:
            return np.int64(0), kept, kept_bits
        kept, kept_bits, place = _flush(kept, kept_bits, load64(words + 8 * symbol), length, place)
        source += 1
    return place, kept, kept_bits


@njit(cache=True, nogil=True)
def _encode_wide_run(
    source: Any,
    stop: Any,
    place: Any,
    kept: Any,
    kept_bits: Any,
    words: Any,
    lengths: Any,
    pair_words: Any,
    pair_lengths: Any,
) -> Any:
    """As `_encode_narrow_run`, for codes of which only four words fit a store: 4 % faster there."""
    while source + 8 <= stop:
        word, bits = _quad(source, pair_words, pair_lengths)
        more, more_bits = _quad(source + 4, pair_words, pair_lengths)
        if max(bits, more_bits) <= _FLUSH_LIMIT:
            kept, kept_bits, place = _flush(kept, kept_bits, word, bits, place)
            kept, kept_bits, place = _flush(kept, kept_bits, more, more_bits, place)
        else:
            place, kept, kept_bits = _encode_single(
                source, source + 8, place, kept, kept_bits, words, lengths
            )
            if place == 0:
                return place, kept, kept_bits
        source += 8
    return _encode_single(source, stop, place, kept, kept_bits, words, lengths)


@njit(cache=True, nogil=True)
def _encode_narrow_run(
    source: Any,
    stop: Any,
    place: Any,
    kept: Any,
    kept_bits: Any,
    words: Any,
    lengths: Any,
    pair_words: Any,
    pair_lengths: Any,
) -> Any:
    """Append the words of the symbols from *source* to *stop*; place 0 where one has no code."""
    while source + 8 <= stop:
        word, bits = _quad(source, pair_words, pair_lengths)
        more, more_bits = _quad(source + 4, pair_words, pair_lengths)
        if bits + more_bits <= _FLUSH_LIMIT:
            word |= more << (bits & _SIXTY_THREE)
            kept, kept_bits, place = _flush(kept, kept_bits, word, bits + more_bits, place)
        elif bits <= _FLUSH_LIMIT and more_bits <= _FLUSH_LIMIT:
            kept, kept_bits, place = _flush(kept, kept_bits, word, bits, place)
            kept, kept_bits, place = _flush(kept, kept_bits, more, more_bits, place)
        else:
            place, kept, kept_bits = _encode_single(
                source, source + 8, place, kept, kept_bits, words, lengths
            )
            if place == 0:
                return place, kept, kept_bits
        source += 8
    return _encode_single(source, stop, place, kept, kept_bits, words, lengths)


@njit(inline="always")
def _encode_run(
    wide: Any,
    source: Any,
    stop: Any,
    place: Any,
    kept: Any,
    kept_bits: Any,
    words: Any,
    lengths: Any,
    pair_words: Any,
    pair_lengths: Any,
) -> Any:
    if wide:
        return _encode_wide_run(
            source, stop, place, kept, kept_bits, words, lengths, pair_words, pair_lengths
        )
    return _encode_narrow_run(
        source, stop, place, kept, kept_bits, words, lengths, pair_words, pair_lengths
    )


@njit(cache=True, nogil=True)
def _pack(values: Any, count: Any, width: Any, out: Any, at: Any) -> Any:
    """Write *count* values of *width* bits, first lowest, zero-padded to a byte; its end."""
    mask = np.uint64((1 << width) - 1)
    kept = np.uint64(0)
    kept_bits = np.uint64(0)
    for index in range(count):
        kept |= (np.uint64(values[index]) & mask) << kept_bits
        kept_bits += np.uint64(width)
        while kept_bits >= 8:
            out[at] = kept & np.uint64(0xFF)
            kept >>= np.uint64(8)
            kept_bits -= np.uint64(8)
            at += 1
    if kept_bits > 0:
        out[at] = kept & np.uint64(0xFF)
        at += 1
    return at


@njit(cache=True, nogil=True)
def _write_header(out: Any, at: Any, count: Any, slot: Any, bias: Any) -> None:
    header = (count - 1) | slot << 13 | (bias & 0x3F) << 18
    out[at] = header & 0xFF
    out[at + 1] = header >> 8 & 0xFF
    out[at + 2] = header >> 16 & 0xFF


@njit(cache=True, nogil=True)
def _finish(
    out: Any, start: Any, end: Any, tail: Any, nbytes: Any, rest: Any, first: Any, count: Any
) -> Any:
    """Zero gap and rest bytes behind code words that end at *end*; where the table begins.

    *tail* is the size of rest bytes and table, *nbytes* that of the chunk (-1: no gap).
    """
    place = end if nbytes < 0 else start + nbytes - tail
    out[end:place] = 0
    if rest.size:
        # numba copies slices byte by byte.
        source, target = np.int64(rest.ctypes.data), np.int64(out.ctypes.data)
        copy_bytes(source + first, target + place, count)
        place += count
    return place


@njit(cache=True, nogil=True)
def _encode_raw(
    symbols: Any,
    first: Any,
    count: Any,
    rest: Any,
    symbol_bits: Any,
    out: Any,
    at: Any,
    nbytes: Any,
) -> Any:
    """A chunk of slot 0; where it ends."""
    _write_header(out, at, count, RAW_SLOT, 0)
    body = at + HEADER_NBYTES
    if symbol_bits == 8:
        source, target = np.int64(symbols.ctypes.data), np.int64(out.ctypes.data)
        copy_bytes(source + first, target + body, count)
        end = body + count
    else:
        end = _pack(symbols[first : first + count], count, symbol_bits, out, body)
    return _finish(out, at, end, count if rest.size else 0, nbytes, rest, first, count)


@njit(cache=True, nogil=True)
def _encode_coded(
    symbols: Any,
    biased: Any,
    first: Any,
    count: Any,
    rest: Any,
    slot: Any,
    bias: Any,
    run_symbols: Any,
    entry_bits: Any,
    table: Any,
    out: Any,
    at: Any,
    nbytes: Any,
    words: Any,
    lengths: Any,
    pair_words: Any,
    pair_lengths: Any,
    wide: Any,
    alphabet: Any,
) -> Any:
    """A chunk coded with the book in *slot*; where it ends, -1 where a symbol has no code."""
    _write_header(out, at, count, slot, bias)
    source = np.int64(symbols.ctypes.data) + first
    if bias:
        for index in range(count):
            biased[index] = (np.int64(symbols[first + index]) - bias) & (alphabet - 1)
        source = np.int64(biased.ctypes.data)
    kept = kept_bits = np.uint64(0)
    origin = np.int64(out.ctypes.data)
    body = place = origin + at + HEADER_NBYTES
    done = entries = before = np.int64(0)
    while done < count:
        stop = min(done + run_symbols, count)
        place, kept, kept_bits = _encode_run(
            wide,
            source + done,
            source + stop,
            place,
            kept,
            kept_bits,
            np.int64(words.ctypes.data),
            np.int64(lengths.ctypes.data),
            np.int64(pair_words.ctypes.data),
            np.int64(pair_lengths.ctypes.data),
        )
        if place == 0:
            return -1
        bits = (place - body) * 8 + np.int64(kept_bits)
        if stop < count:
            table[entries] = bits - before
            entries += 1
        before, done = bits, stop
    end = place - origin + (1 if kept_bits > 0 else 0)
    tail = (count if rest.size else 0) + (entries * entry_bits + 7) // 8
    place = _finish(out, at, end, tail, nbytes, rest, first, count)
    return _pack(table, entries, entry_bits, out, place)


@njit(cache=True, nogil=True)
def encode_chunks(
    symbols: Any,
    rest: Any,
    first: Any,
    counts: Any,
    slots: Any,
    biases: Any,
    nbytes: Any,
    symbol_bits: Any,
    run_symbols: Any,
    entry_bits: Any,
    words: Any,
    lengths: Any,
    pair_words: Any,
    pair_lengths: Any,
    wide: Any,
    out: Any,
) -> Any:
    """Write the chunks one behind the other to uint8 *out*; how many bytes they take.

    *first* is the first chunk's first symbol. The tables are by slot, [slots, ...]. Where
    nbytes[k] is -1 the chunk's size is not known: it takes its slot or raw, whichever is smaller
    (raw if equal), and its size is put there; where it is known, a symbol without a code in chunk k
    ends it all with -1 - k. *out* must be STORE_SLACK longer than the chunks, and
    than a chunk of longest words where sizes are not known.
    """
    biased = np.empty(counts.max() + STORE_SLACK if counts.size else 1, np.uint8)
    table = np.empty(counts.max() // run_symbols + 1 if counts.size else 1, np.int64)
    at = 0
    for chunk in range(counts.size):
        count, slot, size = counts[chunk], slots[chunk], nbytes[chunk]
        end = -1
        if slot != RAW_SLOT:
            end = _encode_coded(
                symbols,
                biased,
                first,
                count,
                rest,
                slot,
                biases[chunk],
                run_symbols,
                entry_bits[slot],
                table,
                out,
                at,
                size,
                words[slot],
                lengths[slot],
                pair_words[slot],
                pair_lengths[slot],
                wide[slot],
                1 << symbol_bits,
            )
        if size < 0:
            raw = HEADER_NBYTES + (count * symbol_bits + 7) // 8 + (count if rest.size else 0)
            if end < 0 or end - at >= raw:
                end = -1
        elif end < 0 and slot != RAW_SLOT:
            return -1 - chunk
        if end < 0:
            end = _encode_raw(symbols, first, count, rest, symbol_bits, out, at, size)
        nbytes[chunk] = end - at
        at = end
        first += count
    return at
