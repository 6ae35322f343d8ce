"""The first half of the encoder: rows wait until it is known how their flits end."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.arithmetic import settled
from hw.huffman.code_rom import CostRom
from hw.huffman.delay_line import DelayLine
from hw.huffman.encoder_timing import cutter_latency
from hw.huffman.flit_cutter import FlitCutter, cut_layout
from hw.huffman.layouts import row_layout
from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook


def planned_layout(shape: LinkShape, slot_bits: int) -> data.StructLayout:
    """A row whose flits are known.

    row, first: as it came, and whether a message begins with it. cut: see `cut_layout`.
    values, coded: of the flit that opens in the row, how many it has, and whether it is coded.
    """
    return data.StructLayout(
        {
            "row": row_layout(shape, slot_bits),
            "first": 1,
            "cut": cut_layout(shape),
            "values": range(shape.max_values + 1),
            "coded": 1,
        }
    )


class FlitPlanner(wiring.Component):
    """Cuts rows into flits by their costs, and holds each back for as long as a flit can last.

    Latency *latency* cycles, one row a cycle. It must move only with a row, or between messages:
    then a flit has at most `LinkShape.flit_rows` rows behind the one it opens in, gaps included.
    What it held before a reset never leaves it.

    Members
    -------
    row: In, a row, its *last* ignored; of no values where there is none. first, ends: In, whether
    a message begins or ends with it.
    planned: Out, see `planned_layout`.
    """

    def __init__(self, codebooks: Sequence[Codebook], shape: LinkShape, *, slot_bits: int):
        self.codebooks = tuple(codebooks)
        self.shape = shape
        self.slot_bits = slot_bits
        self.latency = cutter_latency(shape.values_per_cycle) + shape.flit_rows
        super().__init__(
            {
                "row": In(row_layout(shape, slot_bits)),
                "first": In(1),
                "ends": In(1),
                "planned": Out(planned_layout(shape, slot_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape, row, planned = self.shape, self.row, self.planned
        m.submodules.cutter = cutter = FlitCutter(shape)
        m.d.comb += [
            cutter.count.eq(row.count),
            cutter.first.eq(self.first),
            cutter.ends.eq(self.ends),
        ]
        for place in range(shape.values_per_cycle):
            m.submodules[f"cost{place}"] = rom = CostRom(self.codebooks, slot_bits=self.slot_bits)
            m.d.comb += [
                rom.symbol.eq(row.symbols[place]),
                rom.slot.eq(row.slot),
                cutter.costs[place].eq(rom.cost),
            ]

        m.submodules.cuts = cuts = DelayLine(
            width=len(planned.cut.as_value()), depth=shape.flit_rows
        )
        leaving, cut = self._rows(m), Signal.like(planned.cut)
        values, coded = self._recorded(m, cutter)
        known = settled(m, self.latency)
        m.d.comb += [
            cuts.i.eq(cutter.row),
            cut.eq(cuts.o),
            planned.row.eq(leaving.row),
            planned.row.count.eq(Mux(known, leaving.row.count, 0)),
            planned.first.eq(leaving.first & known),
            planned.cut.place.eq(cut.place),
            planned.cut.cut.eq(cut.cut & known),
            planned.cut.ended.eq(cut.ended & known),
            planned.values.eq(values),
            planned.coded.eq(coded),
        ]
        return m

    def _rows(self, m: Module) -> data.View:
        """The row that leaves, as it came."""
        leaving = Signal(
            data.StructLayout({"row": row_layout(self.shape, self.slot_bits), "first": 1}),
            name="leaving",
        )
        kept = [leaving.row.symbols, leaving.row.rest, leaving.row.count, leaving.first]
        entering = [self.row.symbols, self.row.rest, self.row.count, self.first]
        if len(self.codebooks) > 1:
            kept.append(leaving.row.slot)
            entering.append(self.row.slot)
        else:
            m.d.comb += leaving.row.slot.eq(1)
        kept = [Value.cast(value) for value in kept]
        m.submodules.rows = rows = DelayLine(width=len(Cat(*kept)), depth=self.latency)
        m.d.comb += [
            rows.i.eq(Cat(*map(Value.cast, entering))),
            Cat(*kept).eq(rows.o),
        ]
        return leaving

    def _recorded(self, m: Module, cutter: FlitCutter) -> tuple[Value, Value]:
        """Of the flit that opens in the row that leaves: how many values it has; whether coded."""
        shape = self.shape
        opening = Signal.like(cutter.row.place)
        with m.If(cutter.opens):
            m.d.sync += opening.eq(cutter.row.place)
        values, coded = Signal.like(self.planned.values), Signal()
        m.d.comb += [
            # A flit that ends in the row it opens in begins with its message, at place 0.
            values.eq(cutter.end - Mux(cutter.start == cutter.number, 0, opening)),
            coded.eq(values > shape.raw_values),
        ]
        record = Cat(values, coded)
        flits = memory.Memory(shape=len(record), depth=1 << cutter.number_bits, init=[])
        m.submodules.flits = flits
        write, read = flits.write_port(), flits.read_port(domain="comb")
        leaving = Signal(
            cutter.number_bits, init=-1 - shape.flit_rows & (1 << cutter.number_bits) - 1
        )
        m.d.sync += leaving.eq(leaving + 1)
        m.d.comb += [
            write.addr.eq(cutter.start),
            write.data.eq(record),
            write.en.eq(cutter.known),
            read.addr.eq(leaving),
        ]
        # A flit of the most rows is known in the very cycle its first row leaves.
        now = cutter.known & (cutter.start == leaving)
        if (shape.flit_rows - 1) * shape.values_per_cycle + 1 > shape.raw_values:
            # And then it is coded: all rows between are full.
            coded = Const(1)
        return (
            Mux(now, values, read.data[: len(values)]),
            Mux(now, coded, read.data[-1]),
        )
