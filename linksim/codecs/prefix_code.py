"""Length-limited canonical prefix codes.

Code lengths come from package-merge (Larmore and Hirschberg 1990), which is optimal under a length
limit. Codes are canonical: shorter before longer, equal lengths in symbol order. The first bit of a
code takes the lowest free bit of the stream, so code words are kept bit-reversed (LSB first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError

MAX_LENGTH_LIMIT = 16
"""Longest code word the format can carry."""


def package_merge(counts: Sequence[int] | NDArray[np.int64], max_length: int) -> list[int]:
    """Optimal code lengths of at most *max_length* bits for *counts* per symbol.

    Symbols with count 0 get length 0 (no code); a lone symbol gets length 1.
    """
    leaves: list[tuple[int, tuple[int, ...]]] = sorted(
        (int(count), (symbol,)) for symbol, count in enumerate(counts) if count > 0
    )
    lengths = [0] * len(counts)
    if len(leaves) > 1 << max_length:
        raise LinksimError(f"{len(leaves)} symbols do not fit codes of at most {max_length} bits")
    if len(leaves) == 1:
        lengths[leaves[0][1][0]] = 1
        return lengths
    merged = leaves
    for _ in range(max_length - 1):
        pairs = zip(merged[0::2], merged[1::2], strict=False)
        packages = [(a[0] + b[0], a[1] + b[1]) for a, b in pairs]
        merged = sorted(leaves + packages, key=lambda item: item[0])
    for _, symbols in merged[: max(0, 2 * len(leaves) - 2)]:
        for symbol in symbols:
            lengths[symbol] += 1
    return lengths


@dataclass(frozen=True)
class PrefixCode:
    """A canonical prefix code, wholly given by its code lengths.

    Raises LinksimError where the lengths break Kraft's inequality or exceed *max_length*.
    """

    lengths: tuple[int, ...]
    """Bits per symbol, 0 for a symbol without code; one entry per symbol of the alphabet."""
    max_length: int

    def __post_init__(self) -> None:
        if not 1 <= self.max_length <= MAX_LENGTH_LIMIT:
            raise LinksimError(
                f"max_length is {self.max_length}: expected 1 to {MAX_LENGTH_LIMIT} bits"
            )
        if any(not 0 <= length <= self.max_length for length in self.lengths):
            raise LinksimError(f"lengths: expected 0 to {self.max_length} bits per symbol")
        if sum(1 << (self.max_length - n) for n in self.lengths if n) > 1 << self.max_length:
            raise LinksimError("lengths: too many short codes (Kraft's inequality is broken)")

    @cached_property
    def length_table(self) -> NDArray[np.int64]:
        """`lengths` as int64 [alphabet]."""
        return np.array(self.lengths, np.int64)

    @cached_property
    def words(self) -> NDArray[np.uint32]:
        """Code words, first bit in bit 0; uint32 [alphabet], 0 for a symbol without code."""
        words = np.zeros(len(self.lengths), np.uint32)
        code = previous = 0
        for length, symbol in sorted((n, s) for s, n in enumerate(self.lengths) if n):
            code <<= length - previous
            words[symbol] = int(format(code, f"0{length}b")[::-1], 2)
            code, previous = code + 1, length
        return words

    @cached_property
    def decode_table(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Symbol and length by the next *max_length* stream bits, each [2**max_length].

        Length 0 marks bits that begin no code word.
        """
        symbols = np.zeros(1 << self.max_length, np.uint8)
        lengths = np.zeros(1 << self.max_length, np.int64)
        for symbol, length in enumerate(self.lengths):
            if length:
                entries = slice(int(self.words[symbol]), None, 1 << length)
                symbols[entries], lengths[entries] = symbol, length
        return symbols, lengths


def identity_code(symbol_bits: int) -> PrefixCode:
    """The code of raw chunks: every symbol as itself, least significant bit first."""
    return _IdentityCode((symbol_bits,) * (1 << symbol_bits), symbol_bits)


class _IdentityCode(PrefixCode):
    @cached_property
    def words(self) -> NDArray[np.uint32]:
        return np.arange(len(self.lengths), dtype=np.uint32)
