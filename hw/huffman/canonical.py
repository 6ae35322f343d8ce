"""Canonical codes as logic: where in the order of code words a window of the stream falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from amaranth import Cat, Const, Module, Mux, Signal, Value

from linksim.codecs import Codebook


def pick(choices: Sequence[Value], index: Value) -> Value:
    """*choices*[*index*] as a tree of multiplexers; what an index beyond them gives is open."""
    level = list(choices)
    bit = 0
    while len(level) > 1:
        odd = level[1::2]
        merged = [Mux(index[bit], high, low) for low, high in zip(level[0::2], odd, strict=False)]
        level = merged + level[2 * len(odd) :]
        bit += 1
    return level[0]


def gathered(selected: Sequence[tuple[Value, Value]], width: int) -> Value:
    """OR of the values whose select bit is set."""
    terms = [(value & select.replicate(len(value))) for select, value in selected]
    while len(terms) > 1:
        pairs = zip(terms[0::2], terms[1::2], strict=False)
        terms = [low | high for low, high in pairs] + terms[len(terms) // 2 * 2 :]
    return terms[0] if terms else Const(0, width)


class BitRuns:
    """Whether stretches of a string of bits are all ones, computed once for all who ask.

    Thresholds of long code words begin with many ones, and windows at neighbouring bits overlap.
    """

    def __init__(self, m: Module, bits: Value, name: str):
        self.m = m
        self.bits = bits
        self.name = name
        self._known: dict[tuple[int, int], Value] = {}

    def all_ones(self, start: int, count: int) -> Value:
        """Whether *count* bits from *start* on are all 1."""
        if count == 0:
            return Const(1)
        if count == 1:
            return self.bits[start]
        if (start, count) not in self._known:
            half = 1 << ((count - 1).bit_length() - 1)
            both = Signal(name=f"{self.name}_{start}_{count}")
            self.m.d.comb += both.eq(
                self.all_ones(start, half) & self.all_ones(start + half, count - half)
            )
            self._known[start, count] = both
        return self._known[start, count]

    def at_least(self, start: int, limit: int, bits: int) -> Value:
        """Whether *bits* bits from *start*, the first one highest, are a number >= *limit*."""
        while bits and not limit & 1:
            limit, bits = limit >> 1, bits - 1
        if limit >= 1 << bits:
            return Const(0)
        ones = bits - ((1 << bits) - 1 - limit).bit_length()
        if ones == bits:
            return self.all_ones(start, bits)
        # Behind the leading ones the limit has a 0: a 1 there is more, a 0 leaves the rest to tell.
        left = bits - ones - 1
        tail = self.at_least(start + ones + 1, limit & ((1 << left) - 1), left)
        return self.all_ones(start, ones) & (self.bits[start + ones] | tail)


@dataclass(frozen=True)
class _Length:
    """The code words of one length."""

    bits: int
    first: int
    """The first one as a number, first bit highest."""
    symbols: tuple[int, ...]
    """What they stand for, in the order of the words."""

    @property
    def limit(self) -> int:
        """The number behind the last one."""
        return self.first + len(self.symbols)


class CanonicalCode:
    """What a decoder must know of a codebook, by length of code word."""

    def __init__(self, book: Codebook):
        self.max_length = book.max_length
        by_length: dict[int, list[int]] = {}
        for symbol, length in enumerate(book.lengths):
            if length:
                by_length.setdefault(length, []).append(symbol)
        word, previous, lengths = 0, 0, []
        for bits in sorted(by_length):
            word <<= bits - previous
            lengths.append(_Length(bits, word, tuple(by_length[bits])))
            word, previous = lengths[-1].limit, bits
        self.lengths = tuple(lengths)

    @cached_property
    def complete(self) -> bool:
        """Whether any bits begin a code word."""
        return self.lengths[-1].limit == 1 << self.lengths[-1].bits

    def at(self, runs: BitRuns, start: int) -> tuple[dict[int, Value], Value]:
        """By length, whether a code word of it begins at bit *start*; and whether none does.

        Where none does, it passes for one of the longest.
        """
        beyond: Value = Const(1)
        hits = {}
        for length in self.lengths:
            here = beyond
            beyond = runs.at_least(start, length.limit, length.bits)
            hits[length.bits] = here & ~beyond
        longest = self.lengths[-1].bits
        hits[longest] = hits[longest] | beyond
        return hits, Const(0) if self.complete else beyond

    def symbol(self, window: Value, hits: dict[int, Value], width: int) -> Value:
        """The symbol whose code word begins *window*, first bit lowest, of the length that hits."""
        found = []
        for length in self.lengths:
            low_bits = (len(length.symbols) - 1).bit_length()
            # Words of one length count up, so that their last bits tell them apart.
            low = Cat(*reversed(list(window[length.bits - low_bits : length.bits])))
            table = [0] * (1 << low_bits)
            for place in range(1 << low_bits):
                # Where no word is, that of a neighbour is cheapest.
                nearest = min((place - length.first) % (1 << low_bits), len(length.symbols) - 1)
                table[place] = length.symbols[nearest]
            entries = [Const(symbol, width) for symbol in table]
            found.append((hits[length.bits], pick(entries, low) if low_bits else entries[0]))
        return gathered(found, width)
