"""The code words of a row joined into one string of bits, and all prefix sums of their lengths."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


@dataclass(frozen=True)
class _Group:
    """Neighbouring words, joined."""

    bits: Value
    ends: list[Value]
    """Bits up to and with every word; the last is the length of the whole."""


class RowMerger(wiring.Component):
    """A tree that joins two neighbours at a time: right half shifted by the length of the left.

    Latency log2(*values_per_cycle*) cycles, one row a cycle; it never waits.

    Members
    -------
    words, lengths: In, the row; an empty place has length 0 and word 0.
    bits: Out, the words one behind the other, zero above.
    ends: Out, for every word the bits up to and with it.
    """

    def __init__(self, *, values_per_cycle: int, max_length: int):
        self.values_per_cycle = values_per_cycle
        self.max_length = max_length
        self.latency = (values_per_cycle - 1).bit_length()
        row_bits = values_per_cycle * max_length
        super().__init__(
            {
                "words": In(data.ArrayLayout(max_length, values_per_cycle)),
                "lengths": In(data.ArrayLayout(range(max_length + 1), values_per_cycle)),
                "bits": Out(row_bits),
                "ends": Out(data.ArrayLayout(range(row_bits + 1), values_per_cycle)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        groups = [
            _Group(self.words[place], [self.lengths[place]])
            for place in range(self.values_per_cycle)
        ]
        size = 1
        while len(groups) > 1:
            size *= 2
            pairs = zip(groups[0::2], groups[1::2], strict=True)
            groups = [
                self._join(m, left, right, f"level{size}_{place}", size * self.max_length)
                for place, (left, right) in enumerate(pairs)
            ]
        m.d.comb += self.bits.eq(groups[0].bits)
        m.d.comb += self.ends.eq(Cat(*groups[0].ends))
        return m

    @staticmethod
    def _join(m: Module, left: _Group, right: _Group, name: str, max_bits: int) -> _Group:
        bits = Signal(max_bits, name=f"{name}_bits", reset_less=True)
        length = left.ends[-1]
        m.d.sync += bits.eq(left.bits | right.bits << length)
        ends = []
        for place, end in enumerate([*left.ends, *(length + end for end in right.ends)]):
            held = Signal(range(max_bits + 1), name=f"{name}_end{place}")
            m.d.sync += held.eq(end)
            ends.append(held)
        return _Group(bits, ends)
