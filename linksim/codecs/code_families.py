"""Families of prefix codes: how lengths are chosen, and which words they give.

A code is wholly given by its family and one length per symbol, so every family is carried by the
same codebooks, chunks and messages:

* `huffman`: optimal under a length limit (package-merge), canonical words.
* `quad-length`: 3 bits name one of eight areas, the rest is an index into it; at most four
  different lengths (Quad Length Codes, arXiv 2602.17849v2).
* `dual-length`: a 0 and a 3-bit index for eight symbols, a 1 and the symbol itself for all others
  (Dual Length Codes, arXiv 2602.17849v1).
* `index-escape`: every symbol has an index of the same width; the last index says that the symbol
  itself follows, behind all indices of the chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.prefix_code import PrefixCode, package_merge
from linksim.errors import LinksimError

Counts = NDArray[np.int64]

AREA_BITS = 3
"""Prefix of a quad-length code, and index of a dual-length code."""
MAX_AREA_LENGTHS = 4


@dataclass(frozen=True)
class TwoLengthCode(PrefixCode):
    """A short index for a few symbols, the symbol itself for all others; base of two families.

    Raises LinksimError unless exactly the symbols that have an index have the short length.
    """

    @property
    def symbol_bits(self) -> int:
        """Width of a symbol."""
        return (len(self.lengths) - 1).bit_length()

    @property
    def index_bits(self) -> int:
        """Width of an index: log2 of the number of indexed symbols, rounded up."""
        return AREA_BITS

    def _short(self) -> list[int]:
        shortest = min(self.lengths)
        return [symbol for symbol, length in enumerate(self.lengths) if length == shortest]

    def _check(self, short: int, indexed: int, long: int) -> None:
        wanted = sorted([short] * indexed + [long] * (len(self.lengths) - indexed))
        if sorted(self.lengths) != wanted:
            raise LinksimError(
                f"lengths: expected {indexed} symbols of {short} bits and all others of {long}"
            )


@dataclass(frozen=True)
class DualLengthCode(TwoLengthCode):
    """Dual Length Code: `0` and a 3-bit index, or `1` and the symbol, low bits first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        indexed = min(1 << AREA_BITS, len(self.lengths))
        self._check(1 + AREA_BITS, indexed, 1 + self.symbol_bits)

    @cached_property
    def words(self) -> NDArray[np.uint32]:
        """Code words, first bit in bit 0; indices in symbol order."""
        words = np.arange(len(self.lengths), dtype=np.uint32) << 1 | 1
        for index, symbol in enumerate(self._short()):
            words[symbol] = index << 1
        return words.astype(np.uint32)


@dataclass(frozen=True)
class IndexEscapeCode(TwoLengthCode):
    """An index of the same width for every symbol; the last one announces an escaped symbol."""

    def __post_init__(self) -> None:
        super().__post_init__()
        bits = self.index_bits
        if not 1 <= bits < self.symbol_bits:
            raise LinksimError(f"lengths: an index has {bits} bits: expected 1 to 7")
        self._check(bits, (1 << bits) - 1, bits + self.symbol_bits)

    @property
    def index_bits(self) -> int:
        """Width of an index."""
        return min(self.lengths)

    @cached_property
    def indices(self) -> NDArray[np.uint8]:
        """Index of every symbol, uint8 [alphabet]; 2**index_bits - 1 is the escape."""
        indices = np.full(len(self.lengths), (1 << self.index_bits) - 1, np.uint8)
        indices[self._short()] = np.arange((1 << self.index_bits) - 1)
        return indices

    @cached_property
    def words(self) -> NDArray[np.uint32]:
        """Index, and behind an escape the symbol; first bit in bit 0."""
        symbols = np.arange(len(self.lengths), dtype=np.uint32)
        indices = self.indices.astype(np.uint32)
        escaped = indices == (1 << self.index_bits) - 1
        return np.where(escaped, symbols << self.index_bits | indices, indices).astype(np.uint32)


@dataclass(frozen=True)
class QuadLengthCode(PrefixCode):
    """Canonical words of at most four lengths, all made of 3 bits of area and an index."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.lengths)) > MAX_AREA_LENGTHS or min(self.lengths) < AREA_BITS:
            raise LinksimError(
                f"lengths: expected at most {MAX_AREA_LENGTHS} different ones, none below "
                f"{AREA_BITS} bits"
            )


def _ranked(counts: Counts) -> list[int]:
    """Symbols, most frequent first; ties in symbol order."""
    return sorted(range(len(counts)), key=lambda symbol: (-int(counts[symbol]), symbol))


def dual_length_lengths(counts: Counts, max_length: int) -> list[int]:
    """Lengths of the Dual Length Code: the eight most frequent symbols get the short words."""
    symbol_bits = (len(counts) - 1).bit_length()
    lengths = [1 + symbol_bits] * len(counts)
    for symbol in _ranked(counts)[: 1 << AREA_BITS]:
        lengths[symbol] = 1 + AREA_BITS
    return lengths


def index_escape_lengths(counts: Counts, max_length: int) -> list[int]:
    """Lengths of the index width that makes *counts* shortest."""
    symbol_bits = (len(counts) - 1).bit_length()
    ranked = np.array(_ranked(counts))
    descending, total = counts[ranked], int(counts.sum())

    def cost(bits: int) -> int:
        return total * bits + symbol_bits * int(descending[(1 << bits) - 1 :].sum())

    best = min(range(1, symbol_bits), key=cost)
    lengths = np.full(len(counts), best + symbol_bits)
    lengths[ranked[: (1 << best) - 1]] = best
    return [int(length) for length in lengths]


def quad_length_lengths(counts: Counts, max_length: int) -> list[int]:
    """Lengths of the best Quad Length Code.

    The paper's area sizes are not public, so the best are found: of all eight areas of 2**k
    symbols (k rising, at most four different) that hold the alphabet, those of least total length.
    """
    symbol_bits = (len(counts) - 1).bit_length()
    ranked = np.array(_ranked(counts))
    reach = np.concatenate([[0], np.cumsum(counts[ranked])])
    best: tuple[int, tuple[int, ...]] | None = None
    for areas in combinations_with_replacement(range(symbol_bits + 1), 1 << AREA_BITS):
        if len(set(areas)) > MAX_AREA_LENGTHS or sum(1 << k for k in areas) < len(counts):
            continue
        ends = np.minimum(np.cumsum([1 << k for k in areas]), len(counts))
        masses = np.diff(reach[ends], prepend=0)
        cost = int(masses @ np.array(areas))
        if best is None or cost < best[0]:
            best = cost, areas
    if best is None:
        raise LinksimError(f"no quad-length code holds {len(counts)} symbols")
    lengths = np.zeros(len(counts), np.int64)
    start = 0
    for area in best[1]:
        lengths[ranked[start : start + (1 << area)]] = AREA_BITS + area
        start += 1 << area
    return [int(length) for length in lengths]


_CODES: dict[str, type[PrefixCode]] = {
    "huffman": PrefixCode,
    "quad-length": QuadLengthCode,
    "dual-length": DualLengthCode,
    "index-escape": IndexEscapeCode,
}
_LENGTHS = {
    "huffman": package_merge,
    "quad-length": quad_length_lengths,
    "dual-length": dual_length_lengths,
    "index-escape": index_escape_lengths,
}
FAMILY_NAMES = tuple(_CODES)


def family_code(family: str, lengths: tuple[int, ...], max_length: int) -> PrefixCode:
    """The code of *family* with *lengths*; LinksimError where they make none."""
    if family not in _CODES:
        raise LinksimError(
            f"unknown code family {family!r}: expected one of {', '.join(FAMILY_NAMES)}"
        )
    return _CODES[family](lengths, max_length)


def family_lengths(family: str, counts: Counts, max_length: int) -> tuple[int, ...]:
    """Lengths of the best code of *family* for *counts*, int64 [alphabet], none of them 0."""
    return tuple(_LENGTHS[family](counts, max_length))
