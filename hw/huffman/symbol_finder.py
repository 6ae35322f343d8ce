"""The symbols of the code words that begin in a block."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.arithmetic import prefix_levels, registered
from hw.huffman.canonical import BitRuns, CanonicalCode, gathered
from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook
from linksim.codecs.chunk import RAW_SLOT

MAX_SLOT_BITS = 8
_FIRST_COUNTED = 2
"""Levels of the sum of empty slots in its first cycle."""


def slot_bits_of(shape: LinkShape) -> int:
    """Neighbouring bits of which at most one begins a code word, a power of two."""
    shortest = min(shape.min_length, shape.symbol_bits, MAX_SLOT_BITS)
    return 1 << (shortest.bit_length() - 1)


class SymbolFinder(wiring.Component):
    """Looks up one symbol per *slot*: bits so few that no two code words begin in them.

    Latency 1 cycle to the symbols and 2 to the counts, one block a cycle.

    Members
    -------
    starts: In, where code words begin. window: In, the bits of the block and those behind it.
    book: In, its slot of a codebook.
    symbols: Out, one per slot, where one begins in it.
    unknown: Out, slots whose bits begin no code word, although one had to begin.
    skipped: Out, a cycle later, empty slots before each. found: Out, with it, code words that begin
    in the block.
    """

    latency = 2

    def __init__(
        self,
        codebooks: Sequence[Codebook],
        shape: LinkShape,
        *,
        bits_per_cycle: int,
        book_bits: int,
    ):
        self.codes = [CanonicalCode(book) for book in codebooks]
        self.shape = shape
        self.slot_bits = slot_bits_of(shape)
        self.slots = slots = bits_per_cycle // self.slot_bits
        super().__init__(
            {
                "starts": In(bits_per_cycle),
                "window": In(bits_per_cycle + shape.max_length - 1),
                "book": In(book_bits),
                "symbols": Out(data.ArrayLayout(shape.symbol_bits, slots)),
                "skipped": Out(data.ArrayLayout(range(slots), slots)),
                "found": Out(range(slots + 1)),
                "unknown": Out(slots),
            }
        )

    def elaborate(self, platform):
        m = Module()
        filled = Signal(self.slots)
        for slot in range(self.slots):
            first = slot * self.slot_bits
            bits = range(first, first + self.slot_bits)
            starts = self.starts[first : first + self.slot_bits]
            m.d.comb += filled[slot].eq(starts.any())
            # Without a start it does not matter what is looked up.
            window = Signal(self.shape.max_length, name=f"window{slot}")
            m.d.comb += window.eq(
                gathered(
                    [
                        (starts[bit - first], self.window[bit : bit + self.shape.max_length])
                        for bit in bits
                    ],
                    self.shape.max_length,
                )
                if self.slot_bits > 1
                else self.window[first : first + self.shape.max_length]
            )
            self._look_up(m, slot, window, starts.any())
        self._count(m, filled)
        return m

    def _count(self, m: Module, filled: Signal) -> None:
        """Empty slots before each, in two cycles."""
        levels = (self.slots - 1).bit_length()
        middle = min(_FIRST_COUNTED, levels)
        empty = [
            registered(m, value, f"empty{slot}")
            for slot, value in enumerate(prefix_levels(list(~filled), 0, middle))
        ]
        counts = prefix_levels(empty, middle, levels)
        m.d.sync += [
            *(
                kept.eq(count)
                for kept, count in zip(self.skipped, [Const(0), *counts[:-1]], strict=True)
            ),
            self.found.eq(self.slots - counts[-1]),
        ]

    def _look_up(self, m: Module, slot: int, window: Signal, filled: Value) -> None:
        raw = self.book == RAW_SLOT
        width = self.shape.symbol_bits
        found = [(raw, window[:width])]
        unknown = []
        runs = BitRuns(m, window, f"ones{slot}")
        for number, code in enumerate(self.codes, start=1):
            hits, nowhere = code.at(runs, 0)
            chosen = self.book == number
            found.append((chosen, code.symbol(window, hits, width)))
            unknown.append(nowhere & chosen & filled)
        m.d.sync += [
            self.symbols[slot].eq(gathered(found, width)),
            self.unknown[slot].eq(Cat(*unknown).any()),
        ]
