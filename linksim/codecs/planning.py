"""How a message is cut into chunks, and with which book each goes: sizes without encoding.

Both profiles are planned first and encoded from the plan, so a codec knows its exact size from the
plan alone. The bulk profile needs one histogram per chunk; the link profile walks code lengths,
because a flit holds as many symbols as fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from linksim.codecs.chunk import (
    HEADER_BITS,
    MAX_BIAS,
    MAX_CHUNK_SYMBOLS,
    MIN_BIAS,
    RAW_SLOT,
    ChunkPlan,
    ChunkShape,
)
from linksim.codecs.prefix_code import PrefixCode
from linksim.tensors.histograms import chunk_histograms

Number = TypeVar("Number", np.int64, np.float64)

NO_CODE = 1 << 20
"""Length that stands for "no code": too long for any chunk, so such a book is never chosen."""


def bias_candidates(step: int) -> NDArray[np.int64]:
    """Biases a scale can ask for, the nearest to 0 first, the negative of two: int64 [n]."""
    biases = range(MIN_BIAS, MAX_BIAS + 1)
    return np.array(sorted((b for b in biases if (b % step == 0 if step else b == 0)), key=abs))


def biased_bits(
    histograms: NDArray[Number], lengths: NDArray[Number], biases: NDArray[np.int64]
) -> NDArray[Number]:
    """Code length of every histogram under every bias, in bits, without framing.

    *histograms* [n, alphabet] (or distributions) and *lengths* [alphabet] give [n, biases].
    """
    # Coding symbol - b is looking the code length up b places further.
    return np.asarray(histograms @ rolled(lengths, biases))


def rolled(row: NDArray[Number], shifts: NDArray[np.int64]) -> NDArray[Number]:
    """*row* [n] rolled by each of *shifts*: [n, shifts]. Faster than np.roll for short rows."""
    return np.asarray(row[(np.arange(len(row))[:, None] - shifts) % len(row)])


def _length_matrix(codes: Sequence[PrefixCode]) -> NDArray[np.int64]:
    lengths = np.stack([code.length_table for code in codes])
    return np.where(lengths == 0, NO_CODE, lengths)


def plan_bulk(
    shape: ChunkShape,
    symbols: NDArray[np.uint8],
    codes: Sequence[PrefixCode],
    chunk_symbols: int,
    use_bias: bool,
) -> ChunkPlan:
    """Chunks of *chunk_symbols*, each with the smallest of raw and every book (at its best bias).

    *codes* are the books' codes by slot, raw first. Ties go to the lower slot and smaller bias.
    """
    alphabet = len(codes[0].lengths)
    histograms = chunk_histograms(symbols, chunk_symbols, alphabet)
    counts = histograms.sum(axis=1)
    candidates = bias_candidates(1 if use_bias else 0)
    best_bits = np.empty((len(codes), len(counts)), np.int64)
    best_bias = np.zeros((len(codes), len(counts)), np.int64)
    # NumPy multiplies matrices of floats much faster than of integers. No cost is above
    # MAX_CHUNK_SYMBOLS * NO_CODE = 2**33, and float64 is exact up to 2**53.
    frequencies = histograms.astype(np.float64)
    lengths = _length_matrix(codes).astype(np.float64)
    for slot in range(len(codes)):
        tried = candidates if slot != RAW_SLOT else candidates[:1]
        costs = biased_bits(frequencies, lengths[slot], tried)
        best_bits[slot] = costs.min(axis=1)
        best_bias[slot] = tried[costs.argmin(axis=1)]
    nbytes = np.stack(
        [
            (HEADER_BITS + best_bits[slot] + 7) // 8
            + counts * shape.rest_bits // 8
            + _table_nbytes(shape, counts, codes[slot], slot)
            for slot in range(len(codes))
        ]
    )
    slots = nbytes.argmin(axis=0)
    chunk = np.arange(len(counts))
    return ChunkPlan(counts, slots, best_bias[slots, chunk], nbytes[slots, chunk])


def _table_nbytes(
    shape: ChunkShape, counts: NDArray[np.int64], code: PrefixCode, slot: int
) -> NDArray[np.int64]:
    different, places = np.unique(counts, return_inverse=True)
    sizes = [shape.table_nbytes(int(n), code, slot) for n in different]
    return np.array(sizes, np.int64)[places]


def plan_link(
    shape: ChunkShape,
    symbols: NDArray[np.uint8],
    codes: Sequence[PrefixCode],
    payload_nbytes: int,
    use_bias: bool,
) -> ChunkPlan:
    """Chunks of exactly *payload_nbytes*, each with the book that takes most symbols, or raw.

    With *use_bias* a book's bias is the one that would have been best for the flit before, which
    the encoder knows in time; for the first flit, the best for its first run.
    """
    entry_bits = np.array([shape.entry_bits(code) for code in codes], np.int64)
    raw_symbols = (payload_nbytes * 8 - HEADER_BITS) // (shape.symbol_bits + shape.rest_bits)
    counts, slots, biases = _cut_flits(
        np.ascontiguousarray(symbols),
        _length_matrix(codes),
        entry_bits,
        shape.rest_bits,
        shape.run_symbols,
        payload_nbytes * 8,
        min(raw_symbols, MAX_CHUNK_SYMBOLS),
        use_bias,
    )
    return ChunkPlan(counts, slots, biases, np.full_like(counts, payload_nbytes))


@njit(cache=True, nogil=True)
def _best_bias(symbols: NDArray[np.uint8], lengths: NDArray[np.int64], held: int) -> int:
    """The bias of fewest bits for *symbols* with a book; *held* among equals."""
    alphabet = lengths.size
    counts = np.zeros(alphabet, np.int64)
    for symbol in symbols:
        counts[symbol] += 1
    best, best_bits = held, np.int64(-1)
    for index in range(MIN_BIAS - 1, MAX_BIAS + 1):
        bias = held if index < MIN_BIAS else index
        bits = np.int64(0)
        for symbol in range(alphabet):
            if counts[symbol]:
                bits += counts[symbol] * lengths[(symbol - bias) % alphabet]
        if best_bits < 0 or bits < best_bits:
            best, best_bits = bias, bits
    return best


@njit(cache=True, nogil=True)
def _cut_flits(
    symbols: NDArray[np.uint8],
    lengths: NDArray[np.int64],
    entry_bits: NDArray[np.int64],
    rest_bits: int,
    run_symbols: int,
    payload_bits: int,
    raw_symbols: int,
    use_bias: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    limit = symbols.size // max(1, raw_symbols) + 1
    counts = np.empty(limit, np.int64)
    slots = np.empty(limit, np.int64)
    biases = np.zeros(limit, np.int64)
    alphabet = lengths.shape[1]
    held = np.zeros(lengths.shape[0], np.int64)
    if use_bias:
        for book in range(1, lengths.shape[0]):
            held[book] = _best_bias(symbols[:run_symbols], lengths[book], 0)
    start = chunks = 0
    while start < symbols.size:
        remaining = min(symbols.size - start, MAX_CHUNK_SYMBOLS)
        taken, slot = min(raw_symbols, remaining), 0
        for book in range(1, lengths.shape[0]):
            used, n, table_bits = HEADER_BITS, 0, 0
            while n < remaining:
                if n > 0 and n % run_symbols == 0:
                    entries = n // run_symbols
                    table_bits = (entries * entry_bits[book] + 7) // 8 * 8
                used += lengths[book, (symbols[start + n] - held[book]) % alphabet] + rest_bits
                if used + table_bits > payload_bits:
                    break
                n += 1
            if n > taken:
                taken, slot = n, book
        counts[chunks], slots[chunks], biases[chunks] = taken, slot, held[slot]
        if use_bias:
            for book in range(1, lengths.shape[0]):
                held[book] = _best_bias(symbols[start : start + taken], lengths[book], held[book])
        start += taken
        chunks += 1
    return counts[:chunks], slots[:chunks], biases[:chunks]
