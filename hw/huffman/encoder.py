"""The single-stage Huffman encoder of the link profile."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Array, Cat, EnableInserter, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.assembler import FlitAssembler, closing_layout, flit_layout
from hw.huffman.code_rom import CodeRom
from hw.huffman.cutter import FlitCutter
from hw.huffman.entry_points import EntryPointTable
from hw.huffman.row_merger import RowMerger
from hw.huffman.row_placer import RowPlacer
from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook


def row_layout(shape: LinkShape, slot_bits: int) -> data.StructLayout:
    """A row of values as it enters the encoder.

    symbols, rest: one per place; places from *count* on are ignored.
    count: values of the row, from place 0 up. last: the message ends with this row.
    slot: the codebook of the message, from 1 as on the wire; the same in all of its rows.
    """
    return data.StructLayout(
        {
            "symbols": data.ArrayLayout(shape.symbol_bits, shape.values_per_cycle),
            "rest": data.ArrayLayout(shape.rest_bits, shape.values_per_cycle),
            "count": range(shape.values_per_cycle + 1),
            "last": 1,
            "slot": slot_bits,
        }
    )


class LinkEncoder(wiring.Component):
    """Codes messages into flits, bit for bit as `HuffmanFixed([book], "link")` does.

    Every flit is coded, or raw where that holds at least as many values; the last one of a message
    is padded with zeros. A message of no values is no flits. The header carries the message's slot,
    and exponent bias 0.

    **Throughput**: one row of up to *values_per_cycle* values and one flit a cycle. It never stalls
    by itself: `i.ready` is high whenever `o.ready` is, whatever the data, message lengths and gaps.
    **Latency**: *latency* cycles from the transfer of a row to the flit that it closes being
    offered, and one more for the last flit of a message.
    **Back-pressure**: while a flit is offered and not taken the whole pipeline stands still, and no
    row is taken. `i.ready` depends on `o.ready` in the same cycle; `o.valid` does not.

    Parameters
    ----------
    codebooks: 1 to 8 books of one number format and view, numbered from slot 1.
    values_per_cycle: W, 4, 8, 16, 32 or 64.
    payload_nbytes: P, from 64 to 4096.
    run_symbols: q, values between two entry points.

    Raises
    ------
    ValueError where no such encoder can be built, among others where a row could close two flits.

    Members
    -------
    i: In, stream of rows, see `row_layout`.
    o: Out, stream of flits, see `flit_layout`.
    """

    def __init__(
        self,
        *,
        codebooks: Sequence[Codebook],
        values_per_cycle: int,
        payload_nbytes: int = 240,
        run_symbols: int = 64,
    ):
        self.codebooks = tuple(codebooks)
        self.shape = LinkShape.of(
            self.codebooks,
            values_per_cycle=values_per_cycle,
            payload_nbytes=payload_nbytes,
            run_symbols=run_symbols,
        )
        self.slot_bits = len(self.codebooks).bit_length()
        # Input register, ROM, merger, cutter (2), placer, assembler.
        self.latency = (values_per_cycle - 1).bit_length() + 6
        super().__init__(
            {
                "i": In(stream.Signature(row_layout(self.shape, self.slot_bits))),
                "o": Out(stream.Signature(flit_layout(self.shape))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        advance = Signal()
        pipeline = _Pipeline(self.codebooks, self.shape, self.slot_bits)
        m.submodules.pipeline = EnableInserter(advance)(pipeline)
        row = self.i.payload
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance),
            pipeline.row.eq(row),
            # A cycle without a row is a row without values.
            pipeline.row.count.eq(Mux(self.i.valid, row.count, 0)),
            pipeline.row.last.eq(self.i.valid & row.last),
            self.o.valid.eq(pipeline.valid),
            self.o.payload.eq(pipeline.flit),
        ]
        return m


class _Pipeline(wiring.Component):
    """The encoder without flow control: a row, or a gap, every cycle."""

    def __init__(self, codebooks: Sequence[Codebook], shape: LinkShape, slot_bits: int):
        self.codebooks = codebooks
        self.shape = shape
        self.slot_bits = slot_bits
        super().__init__(
            {
                "row": In(row_layout(shape, slot_bits)),
                "valid": Out(1),
                "flit": Out(flit_layout(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape, slot_bits = self.shape, self.slot_bits
        # What stands in a place without value is never used, so only what counts them is reset.
        symbols = _delayed(m, self._filled("symbols"), 1, "symbols", reset_less=True)
        rest = _delayed(m, self._filled("rest"), 1, "rest", reset_less=True)
        count, last, slot = (
            _delayed(m, self.row[name], 1, name) for name in ("count", "last", "slot")
        )

        merger = RowMerger(values_per_cycle=shape.values_per_cycle, max_length=shape.max_length)
        m.submodules.merger = merger
        self._look_up(m, symbols, count, slot, merger)
        merging = 1 + merger.latency

        m.submodules.cutter = cutter = FlitCutter(shape, slot_bits=slot_bits)
        m.d.comb += [
            cutter.count.eq(_delayed(m, count, merging, "merged_count")),
            cutter.last.eq(_delayed(m, last, merging, "merged_last")),
            cutter.slot.eq(_delayed(m, slot, merging, "merged_slot")),
            cutter.ends.eq(merger.ends),
        ]
        placement = cutter.placement
        waiting = merging + cutter.latency
        symbols = _delayed(m, symbols, waiting, "cut_symbols", reset_less=True)
        rest = _delayed(m, rest, waiting, "cut_rest", reset_less=True)
        bits = _delayed(m, merger.bits, cutter.latency, "cut_bits", reset_less=True)

        m.submodules.entry_points = table = EntryPointTable(shape)
        m.submodules.assembler = assembler = FlitAssembler(shape, slot_bits=slot_bits)
        m.d.comb += [
            table.entry.eq(placement.entry),
            table.entry_bits.eq(placement.entry_bits),
            table.code_bits.eq(placement.code_bits),
            table.close.eq(placement.close),
            assembler.table.eq(table.table),
            assembler.close.eq(_delayed(m, placement.close, 1, "close")),
            assembler.closing.eq(self._closing(m, placement)),
            self.valid.eq(assembler.valid),
            self.flit.eq(assembler.flit),
        ]
        self._place(m, placement, bits, symbols, rest, assembler)
        return m

    def _closing(self, m: Module, placement: Value) -> Value:
        """What is known of the open flit should it close with the row, registered."""
        shape = self.shape
        closing = Signal(closing_layout(shape, self.slot_bits))
        values, table_start = Signal.like(closing.values), Signal.like(closing.table_start)
        coded = Signal()
        table_starts = Array(
            shape.payload_nbytes - shape.table_nbytes(entries)
            for entries in range(shape.max_entries + 1)
        )
        entries = placement.entries + placement.entry
        m.d.comb += [
            values.eq(placement.index + placement.taken),
            coded.eq(values > shape.raw_values),
            table_start.eq(Mux(coded, table_starts[entries], shape.payload_nbytes)),
        ]
        m.d.sync += [
            closing.values.eq(values),
            closing.coded.eq(coded),
            closing.table_start.eq(table_start),
            closing.rest_start.eq(table_start - values if shape.rest_bits else 0),
            closing.slot.eq(placement.slot),
            closing.first.eq(placement.first),
            closing.last.eq(placement.last),
        ]
        return closing

    def _filled(self, name: str) -> Value:
        """Symbols or rest bytes of the row, zero in places without value."""
        return Cat(
            *(Mux(place < self.row.count, unit, 0) for place, unit in enumerate(self.row[name]))
        )

    def _look_up(
        self, m: Module, symbols: Value, count: Value, slot: Value, merger: RowMerger
    ) -> None:
        """Code word and length of every value, registered; nothing for an empty place."""
        for place in range(self.shape.values_per_cycle):
            rom = CodeRom(self.codebooks, slot_bits=self.slot_bits)
            m.submodules[f"rom{place}"] = rom
            word = Signal.like(rom.word, name=f"word{place}")
            length = Signal.like(rom.length, name=f"length{place}")
            filled = place < count
            m.d.comb += [rom.slot.eq(slot)]
            m.d.comb += rom.symbol.eq(symbols.word_select(place, self.shape.symbol_bits))
            m.d.sync += [
                word.eq(Mux(filled, rom.word, 0)),
                length.eq(Mux(filled, rom.length, 0)),
            ]
            m.d.comb += [merger.words[place].eq(word), merger.lengths[place].eq(length)]

    def _place(
        self,
        m: Module,
        placement: Value,
        bits: Value,
        symbols: Value,
        rest: Value,
        assembler: FlitAssembler,
    ) -> None:
        """The parts of a row into the open flit and the next: code words, symbols, rest bytes."""
        shape = self.shape
        m.submodules.code_placer = codes = RowPlacer(
            unit_bits=1,
            row_units=shape.row_bits,
            capacity=shape.body_bits,
            max_offset=shape.max_spent,
        )
        m.d.comb += [
            codes.row.eq(bits),
            codes.offset.eq(placement.code_bits),
            codes.taken.eq(placement.taken_bits),
            assembler.codes.eq(codes.placed),
            assembler.next_codes.eq(codes.opening),
        ]
        for name, units, unit_bits, capacity in (
            ("symbols", symbols, shape.symbol_bits, shape.raw_values),
            ("rest", rest, shape.rest_bits, shape.max_values),
        ):
            if not unit_bits:
                continue
            placer = RowPlacer(
                unit_bits=unit_bits,
                row_units=shape.values_per_cycle,
                capacity=capacity,
                max_offset=shape.max_values,
            )
            m.submodules[f"{name}_placer"] = placer
            m.d.comb += [
                placer.row.eq(units),
                placer.offset.eq(placement.index),
                placer.taken.eq(placement.taken),
                getattr(assembler, name).eq(placer.placed),
                getattr(assembler, f"next_{name}").eq(placer.opening),
            ]


def _delayed(m: Module, value: Value, cycles: int, name: str, *, reset_less: bool = False) -> Value:
    """*value* as it was *cycles* ago."""
    for cycle in range(cycles):
        held = Signal.like(value, name=f"{name}{cycle}", reset_less=reset_less)
        m.d.sync += held.eq(value)
        value = held
    return value
