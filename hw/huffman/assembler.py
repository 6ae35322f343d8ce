"""The second half of the encoder: rows whose flits are known become words of flits."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.arithmetic import below, registered, settled
from hw.huffman.code_rom import CodeRom
from hw.huffman.delay_line import DelayLine
from hw.huffman.entry_points import EntryPointTable
from hw.huffman.flit_buffer import closing_layout
from hw.huffman.placers import CodePlacer, RestPlacer, rest_row_layout
from hw.huffman.planner import planned_layout
from hw.huffman.row_packer import RowPacker
from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook


class FlitAssembler(wiring.Component):
    """Looks up code words, packs them, and brings them and the rest bytes to their places.

    A raw flit takes the same way as a coded one: its symbols stand in for code words.

    Latency *latency* cycles, one row a cycle; the rest bytes of a row come
    `LinkShape.words_per_flit` - 1 cycles behind its code words.

    Members
    -------
    moves: In, the outputs are taken; while it is low those of rows are zero.
    valid: In, there is a row. planned: In, see `planned_layout`.
    codes, next_codes, rest, next_rest, closes, closing, table: Out, for `FlitBuffer`.
    """

    def __init__(self, codebooks: Sequence[Codebook], shape: LinkShape, *, slot_bits: int):
        self.codebooks = tuple(codebooks)
        self.shape = shape
        self.slot_bits = slot_bits
        self.packer = RowPacker(shape)
        self.placer = CodePlacer(shape)
        self.latency = self.packer.latency
        super().__init__(
            {
                "moves": In(1),
                "valid": In(1),
                "planned": In(planned_layout(shape, slot_bits)),
                "codes": Out(len(self.placer.placed)),
                "next_codes": Out(len(self.placer.opening)),
                "rest": Out(shape.payload_bits),
                "next_rest": Out(shape.payload_bits),
                "closes": Out(1),
                "closing": Out(closing_layout(shape, slot_bits)),
                "table": Out(8 * shape.table_nbytes(shape.max_entries)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape, planned = self.shape, self.planned
        m.submodules.packer = packer = self.packer
        m.submodules.placer = placer = self.placer
        opens, closes, count = Signal(), Signal(), Signal.like(planned.row.count)
        new = Signal(closing_layout(shape, self.slot_bits))
        m.d.comb += [
            opens.eq(self.valid & (planned.first | planned.cut.cut)),
            closes.eq(self.valid & (planned.cut.ended | planned.cut.cut)),
            count.eq(Mux(self.valid, planned.row.count, 0)),
            new.values.eq(planned.values),
            new.coded.eq(planned.coded),
            new.slot.eq(planned.row.slot),
            new.first.eq(planned.first),
        ]
        flit = Signal.like(new)
        with m.If(opens):
            m.d.sync += flit.eq(new)

        # Nothing that was on its way before a reset.
        over = settled(m, self.latency + shape.words_per_flit - 1)
        shown = Signal()
        before = Signal(shape.values_per_cycle)
        m.d.comb += [
            before.eq(
                below(planned.cut.place, shape.values_per_cycle)
                | (~opens).replicate(shape.values_per_cycle)
            ),
            packer.opens.eq(opens),
            packer.before.eq(before),
            shown.eq(self.moves & over),
            placer.moves.eq(shown),
            placer.packed.eq(packer.packed),
            self.codes.eq(placer.placed),
            self.next_codes.eq(placer.opening),
        ]
        self._look_up(m, count, before, flit.coded, new.coded)
        self._close(m, count, opens, closes, flit)
        if shape.rest_bits:
            self._place_rest(m, count, opens, flit, shown)
        return m

    def _look_up(
        self, m: Module, count: Value, before: Value, open_coded: Value, new_coded: Value
    ) -> None:
        """Code word and length of every value, or the symbol itself; nothing in an empty place."""
        shape, row = self.shape, self.planned.row
        filled = Signal(shape.values_per_cycle)
        m.d.comb += filled.eq(below(count, len(filled)))
        for place in range(shape.values_per_cycle):
            rom = CodeRom(self.codebooks, slot_bits=self.slot_bits)
            m.submodules[f"rom{place}"] = rom
            coded = Mux(before[place], open_coded, new_coded)
            word = Mux(coded, rom.word, row.symbols[place])
            length = Mux(coded, rom.length, shape.symbol_bits)
            m.d.comb += [
                rom.symbol.eq(row.symbols[place]),
                rom.slot.eq(row.slot),
                self.packer.words[place].eq(Mux(filled[place], word, 0)),
                self.packer.lengths[place].eq(Mux(filled[place], length, 0)),
            ]

    def _close(self, m: Module, count: Value, opens: Value, closes: Value, flit: Value) -> None:
        """The closing flit and its table, at the time its last row is placed."""
        packer = self.packer
        closing = Signal.like(flit)
        m.d.comb += [closing.eq(flit), closing.last.eq(self.planned.cut.ended)]
        counts = count != 0
        for cycle in range(self.latency - 1):
            closes = registered(m, closes, f"closes{cycle}", reset_less=False)
            held = Signal.like(closing, name=f"closing{cycle}", reset_less=True)
            m.d.sync += held.eq(closing)
            closing = held
        m.d.sync += self.closes.eq(closes)
        with m.If(closes):
            m.d.sync += self.closing.eq(closing)

        m.submodules.table = table = EntryPointTable(self.shape)
        for cycle in range(packer.sums_latency):
            counts = registered(m, counts, f"counts{cycle}", reset_less=False)
            opens = registered(m, opens, f"opens{cycle}", reset_less=False)
        row = Cat(packer.total, packer.low_bits, packer.cut_bits, counts, opens)
        for cycle in range(self.latency - packer.sums_latency - table.latency):
            row = registered(m, row, f"runs{cycle}", reset_less=False)
        m.d.comb += [
            Cat(table.total, table.low_bits, table.cut_bits, table.counts, table.opens).eq(row),
            table.closes.eq(closes),
            table.coded.eq(closing.coded),
            table.values.eq(closing.values),
            self.table.eq(table.table),
        ]

    def _place_rest(self, m: Module, count: Value, opens: Value, flit: Value, shown: Value) -> None:
        shape = self.shape
        row = Signal(rest_row_layout(shape))
        m.d.sync += [
            row.rest.eq(self.planned.row.rest),
            row.count.eq(count),
            row.opens.eq(opens),
            row.place.eq(self.planned.cut.place),
        ]
        runs = (flit.values - 1) >> (shape.run_symbols.bit_length() - 1)
        ends = Array(
            shape.payload_nbytes - shape.table_nbytes(entries)
            for entries in range(shape.max_entries + 1)
        )
        end = Mux(flit.coded, ends[runs], shape.payload_nbytes)
        # The address waits apart from the row, after the cycle that finds the first value's.
        first = Signal.like(row.address, name="first_address", reset_less=True)
        place = registered(m, row.place, "first_place")
        m.d.sync += first.eq(end - flit.values)
        m.submodules.rest_placer = placer = RestPlacer(shape)
        depth = self.latency + shape.words_per_flit - 2
        fields = [getattr(row, name) for name in ("rest", "count", "opens", "place")]
        placed = [getattr(placer.row, name) for name in ("rest", "count", "opens", "place")]
        whole = Cat(*map(Value.cast, fields))
        m.submodules.rest_line = line = DelayLine(width=len(whole), depth=depth)
        m.submodules.address_line = addresses = DelayLine(width=len(first), depth=depth - 1)
        m.d.comb += [
            line.i.eq(whole),
            addresses.i.eq(first - place),
            placer.moves.eq(shown),
            Cat(*map(Value.cast, placed)).eq(line.o),
            placer.row.address.eq(addresses.o),
            self.rest.eq(placer.placed),
            self.next_rest.eq(placer.opening),
        ]
