"""The two parts of a row shifted to where they belong: into the open flit and into the next."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2


class RowPlacer(wiring.Component):
    """Shifts a row of units (code bits, symbols, rest bytes) to its place in the flits.

    The open flit is seen as blocks of a power of two of units, at least as long as a row, so that
    the shifted row covers two neighbouring blocks: the shift is as wide as two rows and not as
    wide as a flit.

    Latency 1 cycle, one row a cycle; it never waits.

    Parameters
    ----------
    unit_bits, row_units: width of a unit, most units of a row.
    capacity: units of a flit. What is placed behind them is dropped.
    max_offset: most units in the open flit before a row.

    Members
    -------
    row: In, the units, zero above the last. offset: In, units in the open flit before the row.
    taken: In, units of the row that belong to it.
    placed: Out, what joins the open flit, at its place and zero elsewhere.
    opening: Out, the units of the next flit, from its first place on.
    """

    latency = 1

    def __init__(self, *, unit_bits: int, row_units: int, capacity: int, max_offset: int):
        self.unit_bits = unit_bits
        self.row_units = row_units
        self.capacity = capacity
        super().__init__(
            {
                "row": In(unit_bits * row_units),
                "offset": In(range(max_offset + 1)),
                "taken": In(range(row_units + 1)),
                "placed": Out(unit_bits * capacity),
                "opening": Out(unit_bits * row_units),
            }
        )

    def elaborate(self, platform):
        m = Module()
        block_log2 = ceil_log2(self.row_units)
        block_bits = self.unit_bits << block_log2
        keep = ~self._shifted_up(Const(-1, len(self.row)), self.taken)[: len(self.row)]
        shifted = Signal(2 * block_bits)
        block = Signal(len(self.offset[block_log2:]))
        m.d.sync += [
            shifted.eq(self._shifted_up(self.row & keep, self.offset[:block_log2])),
            block.eq(self.offset[block_log2:]),
            self.opening.eq(self.row >> self._in_bits(self.taken)),
        ]
        low, high = shifted[:block_bits], shifted[block_bits:]
        blocks = -(-self.capacity >> block_log2)
        at = [block == number for number in range(blocks)]
        parts = []
        for number in range(blocks):
            part = low & at[number].replicate(block_bits)
            if number:
                part |= high & at[number - 1].replicate(block_bits)
            parts.append(part)
        m.d.comb += self.placed.eq(Cat(*parts))
        return m

    def _shifted_up(self, row: Value, units: Value) -> Value:
        return row << self._in_bits(units)

    def _in_bits(self, units: Value) -> Value:
        """A number of units as a number of bits."""
        if self.unit_bits & (self.unit_bits - 1):
            return units * self.unit_bits
        return Cat(Const(0, ceil_log2(self.unit_bits)), units)
