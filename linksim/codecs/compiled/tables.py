"""Look-up tables of a prefix code for the compiled coder; affordable because books are fixed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.prefix_code import MAX_LENGTH_LIMIT, PrefixCode

LOOKUP_BITS = 12
"""Stream bits that one look-up sees: 4096 entries of 8 bytes fit a first-level cache of 32 KiB."""
SINGLE_BITS = 13
"""Stream bits that a look-up of one symbol sees: 8192 entries of 2 bytes."""
LOOKUP_WORDS = (1 << LOOKUP_BITS) + (1 << SINGLE_BITS) // 4
LOOKUP_SYMBOLS = 6
LONG_BITS = MAX_LENGTH_LIMIT
WIDE_BITS = 5
NO_CODE_BITS = 200
"""Length of a pair with a symbol that has no code: longer than any word the encoder may flush."""

_COUNT_SHIFT = 8
_SYMBOL_SHIFTS = tuple(56 - 8 * k for k in range(LOOKUP_SYMBOLS))


@dataclass(frozen=True)
class CodeTables:
    """What encoder and decoder look up.

    `words` uint64 and `lengths` uint8 [256] are by symbol; `pair_words` uint32 and `pair_lengths`
    uint8 [65536] by two symbols, the first in the low byte. `lookup` uint64 [6144] is by the next
    stream bits: bits 0-7 hold the bits used, 8-15 how many symbols (at most six; 0 where the next
    word is longer than the look-up or none), the bytes from the highest down the symbols. Behind
    it lie, as bytes, 8192 uint16 by the next 13 bits for one symbol: length, and from bit 8 the
    symbol; 0 where it is longer. `long` uint16 [65536] is by the next 16 stream bits: symbol, and
    from bit 8 the length of its word, 0 where none begins so.
    """

    words: NDArray[np.uint64]
    lengths: NDArray[np.uint8]
    pair_words: NDArray[np.uint32]
    pair_lengths: NDArray[np.uint8]
    lookup: NDArray[np.uint64]
    long: NDArray[np.uint16]
    most: NDArray[np.int64]
    """Symbols that a look-up gives at most, int64 []."""
    wide: NDArray[np.int64]
    """1 where eight words mostly do not fit one store, int64 []."""


@lru_cache(maxsize=64)
def code_tables(code: PrefixCode) -> CodeTables:
    """The tables of *code*."""
    words = np.zeros(256, np.uint64)
    lengths = np.zeros(256, np.uint64)
    words[: len(code.lengths)] = code.words
    lengths[: len(code.lengths)] = code.length_table
    pair = np.arange(1 << 16)
    first, second = pair & 0xFF, pair >> 8
    pair_words = words[first] | words[second] << lengths[first]
    missing = (lengths[first] == 0) | (lengths[second] == 0)
    pair_lengths = np.where(missing, NO_CODE_BITS, lengths[first] + lengths[second])
    long = _long_table(code)
    lookup = _lookup_table(long)
    coded = code.length_table[code.length_table > 0]
    # A code suits the distribution 2**-length best, so that is what it will mostly meet.
    mean_bits = (coded * 0.5**coded).sum() / (0.5**coded).sum() if coded.size else 0
    return CodeTables(
        words,
        lengths.astype(np.uint8),
        pair_words.astype(np.uint32),
        pair_lengths.astype(np.uint8),
        np.concatenate([lookup, _single_table(long)]),
        long,
        np.array(max(1, int((lookup >> np.uint64(_COUNT_SHIFT) & np.uint64(0xFF)).max()))),
        np.array(int(mean_bits > WIDE_BITS)),
    )


def _long_table(code: PrefixCode) -> NDArray[np.uint16]:
    symbols, lengths = code.decode_table
    entries = symbols.astype(np.uint16) | (lengths << 8).astype(np.uint16)
    return np.tile(entries, 1 << (LONG_BITS - code.max_length))


def _single_table(long: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """One symbol a look-up, four entries a word."""
    entries = long[: 1 << SINGLE_BITS]
    length = entries >> 8
    # Codes of at most the look-up's length do not depend on the bits above it.
    fits = (length > 0) & (length <= SINGLE_BITS)
    packed = np.where(fits, (entries & 0xFF) << 8 | length, 0).astype("<u2")
    return packed.view(np.uint64)


def _lookup_table(long: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """As many whole words as fit each look-up, decoded one after the other."""
    rest = np.arange(1 << LOOKUP_BITS)
    used = np.zeros(len(rest), np.int64)
    count = np.zeros(len(rest), np.int64)
    table = np.zeros(len(rest), np.uint64)
    open_entries = np.ones(len(rest), bool)
    for shift in _SYMBOL_SHIFTS:
        length = (long[rest] >> 8).astype(np.int64)
        open_entries &= (length > 0) & (used + length <= LOOKUP_BITS)
        symbol = (long[rest] & 0xFF).astype(np.uint64)
        table |= np.where(open_entries, symbol << np.uint64(shift), np.uint64(0))
        used += np.where(open_entries, length, 0)
        count += open_entries
        rest = np.where(open_entries, rest >> length, rest)
    return table | used.astype(np.uint64) | count.astype(np.uint64) << np.uint64(_COUNT_SHIFT)
