"""The entry-point table of the open flit."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.shape import LinkShape


class EntryPointTable(wiring.Component):
    """Collects the code bits of every finished run.

    Latency 1 cycle, one row a cycle; it never waits.

    Members
    -------
    entry, entry_bits: In, whether a run ends in this row, and the row's code bits up to there.
    code_bits: In, the flit's code bits before the row.
    close: In, the flit closes with this row.
    table: Out, the entries of the flit up to and with the row, the first one lowest.
    """

    latency = 1

    def __init__(self, shape: LinkShape):
        self.shape = shape
        super().__init__(
            {
                "entry": In(1),
                "entry_bits": In(range(shape.row_bits + 1)),
                "code_bits": In(range(shape.max_spent + 1)),
                "close": In(1),
                "table": Out(8 * shape.table_nbytes(shape.max_entries)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        if not shape.max_entries:
            return m
        kept = Signal.like(self.table)
        extended = Signal.like(self.table)
        run_start = Signal.like(self.code_bits)
        run_end = Signal.like(self.code_bits)
        number = Signal(range(shape.max_entries + 1))
        m.d.comb += [extended.eq(kept), run_end.eq(self.code_bits + self.entry_bits)]
        with m.If(self.entry), m.Switch(number):
            for place in range(shape.max_entries):
                with m.Case(place):
                    low = place * shape.entry_bits
                    m.d.comb += extended[low : low + shape.entry_bits].eq(run_end - run_start)
        m.d.sync += [
            self.table.eq(extended),
            kept.eq(Mux(self.close, 0, extended)),
            number.eq(Mux(self.close, 0, number + self.entry)),
            run_start.eq(Mux(self.close, 0, Mux(self.entry, run_end, run_start))),
        ]
        return m
