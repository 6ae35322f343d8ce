"""The entry-point table of the open flit."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.shape import LinkShape


class EntryPointTable(wiring.Component):
    """Collects the code bits of every finished run and sets them where the table stands.

    All rows of a message are full, so the runs of a flit end at the place of a row that its first
    value had, every *run_symbols* / *values_per_cycle* rows.

    Latency 2 cycles, one row a cycle; it never waits.

    Members
    -------
    total: In, code bits of the row. low_bits: In, of it before the place the open flit began at.
    cut_bits: In, of it before the flit that opens.
    counts: In, the row has values. opens: In, a flit opens in it.
    closes, coded, values: In, 1 cycle after the row: the open flit closes in it; what it is.
    table: Out, the last bytes of the payload that closed last.
    """

    latency = 2

    def __init__(self, shape: LinkShape):
        self.shape = shape
        sums = range(shape.row_bits + 1)
        super().__init__(
            {
                "total": In(sums),
                "low_bits": In(sums),
                "cut_bits": In(sums),
                "counts": In(1),
                "opens": In(1),
                "closes": In(1),
                "coded": In(1),
                "values": In(range(shape.max_values + 1)),
                "table": Out(8 * shape.table_nbytes(shape.max_entries)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        if not shape.max_entries:
            return m
        period = shape.run_symbols // shape.values_per_cycle
        # Rows since the flit opened, modulo the rows of a run; entry points so far.
        rows = Signal(range(period))
        number = Signal(range(shape.max_entries + 2))
        in_run = Signal(range(shape.run_symbols * shape.max_length + shape.row_bits))
        due = Signal()
        m.d.comb += due.eq(rows == 0)
        with m.If(self.opens):
            m.d.sync += [
                in_run.eq(self.total - self.cut_bits),
                rows.eq(1 % period),
                number.eq(0),
            ]
        with m.Elif(self.counts):
            m.d.sync += [
                in_run.eq(Mux(due, self.total - self.low_bits, in_run + self.total)),
                rows.eq(Mux(rows == period - 1, 0, rows + 1)),
                number.eq(number + due),
            ]
        entry = (in_run + self.low_bits)[: shape.entry_bits]
        entries = []
        for place in range(shape.max_entries):
            held = Signal(shape.entry_bits, name=f"entry{place}", reset_less=True)
            with m.If(self.counts & due & (number == place)):
                m.d.sync += held.eq(entry)
            entries.append(held)
        with m.If(self.closes):
            m.d.sync += self.table.eq(self._set(m, entries))
        return m

    def _set(self, m: Module, entries: list[Signal]):
        """As many entries as the open flit has, in its last bytes."""
        shape = self.shape
        runs = (self.values - 1) >> (shape.run_symbols.bit_length() - 1)
        table = Signal.like(self.table, name="set")
        with m.Switch(runs):
            for count in range(1, shape.max_entries + 1):
                free = 8 * (shape.table_nbytes(shape.max_entries) - shape.table_nbytes(count))
                with m.Case(count):
                    m.d.comb += table.eq(Cat(Const(0, free), *entries[:count]))
        return Mux(self.coded, table, 0)
