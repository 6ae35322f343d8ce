"""Receives flits, checks header and entry-point table, and hands out their runs."""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.layouts import header_layout, word_layout
from hw.huffman.run_plan import RECEIVED_FLITS, STORED_FLITS, UNIT_BITS, RunPlan
from linksim.codecs.chunk import HEADER_BITS, RAW_SLOT


def tail_layout(plan: RunPlan) -> data.StructLayout:
    """What a flit says of itself. table: the last bytes of it, as many as a table may have."""
    return data.StructLayout(
        {
            "header": header_layout(),
            "table": 8 * plan.table_nbytes,
            "slot": range(STORED_FLITS),
            "last": 1,
        }
    )


class FlitIntake(wiring.Component):
    """Writes words to the flit memories while there is room.

    Members
    -------
    i: In, stream of words. write, slot, word, data: Out, to the memories.
    using: In, a bit per received flit: its runs are being cut. parsed: In, all of the oldest
    flit's runs have been handed out. released: In, the oldest stored flit is not needed any more.
    tail: Out, see `tail_layout`, of a flit that is there whole. tail_valid: Out, tail_taken: In.
    """

    def __init__(self, plan: RunPlan):
        self.plan = plan
        shape = plan.shape
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(shape))),
                "write": Out(1),
                "slot": Out(range(STORED_FLITS)),
                "word": Out(range(shape.words_per_flit)),
                "data": Out(8 * shape.word_nbytes),
                "using": In(RECEIVED_FLITS),
                "parsed": In(1),
                "released": In(1),
                "tail": Out(tail_layout(plan)),
                "tail_valid": Out(1),
                "tail_taken": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape, tail = self.plan.shape, self.tail
        final, accepted, room = Signal(), Signal(), Signal()
        header, arriving = Signal(header_layout(), reset_less=True), Signal(header_layout())
        m.d.comb += [
            final.eq(self.word == shape.words_per_flit - 1),
            # A flit that has begun has its room; only its end waits for the one before.
            self.i.ready.eq(Mux(self.word == 0, room, 1) & ~(final & self.tail_valid)),
            accepted.eq(self.i.valid & self.i.ready),
            self.write.eq(accepted),
            self.data.eq(self.i.payload.data),
            arriving.eq(self.i.payload.data[:HEADER_BITS]),
        ]
        with m.If(self.tail_taken):
            m.d.sync += self.tail_valid.eq(0)
        with m.If(accepted):
            m.d.sync += self.word.eq(Mux(final, 0, self.word + 1))
            with m.If(self.word == 0):
                m.d.sync += header.eq(arriving)
            with m.If(final):
                stop = 8 * self.plan.last_word_nbytes
                table = self.i.payload.data[stop - 8 * self.plan.table_nbytes : stop]
                m.d.sync += [
                    self.slot.eq(self.slot + 1),
                    self.tail_valid.eq(1),
                    tail.header.eq(Mux(self.word == 0, arriving, header)),
                    tail.table.eq(table),
                    tail.slot.eq(self.slot),
                    tail.last.eq(self.i.payload.last),
                ]
        self._room(m, accepted & final, room)
        return m

    def _room(self, m: Module, arrived: Value, room: Value) -> None:
        """A flit takes a place among the received ones and one among the stored ones."""
        stored = Signal(range(STORED_FLITS + 1))
        unparsed = Signal(range(RECEIVED_FLITS + 1))
        following = Signal(range(RECEIVED_FLITS))
        m.d.comb += following.eq(self.slot + 1)
        m.d.sync += [
            stored.eq(stored + arrived - self.released),
            unparsed.eq(unparsed + arrived - self.parsed),
        ]
        place = Mux(arrived, following, self.slot[: len(following)])
        # One place less than there are: what arrives now is not yet counted.
        m.d.sync += room.eq(
            (stored < STORED_FLITS - 1)
            & (unparsed < RECEIVED_FLITS - 1)
            & ~self.using.bit_select(place, 1)
        )


class RunParser(wiring.Component):
    """One run a cycle, of flits whose header and table keep the rules.

    A flit that does not is a single run without values, marked as void, for no lane. A run that
    begins behind the code words marks its flit as broken.

    Members
    -------
    tail, tail_valid: In; tail_taken: Out. parsed: Out, the last run of a flit leaves.
    run: Out, see `RunPlan.run_layout`. order: Out, what to keep of it; lane and bay are open.
    valid: Out. void: Out, it needs no lane. take: In.
    """

    def __init__(self, plan: RunPlan):
        self.plan = plan
        super().__init__(
            {
                "tail": In(tail_layout(plan)),
                "tail_valid": In(1),
                "tail_taken": Out(1),
                "parsed": Out(1),
                "run": Out(plan.run_layout()),
                "order": Out(plan.order_layout()),
                "valid": Out(1),
                "void": Out(1),
                "take": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        checked = self._check(m)
        self._walk(m, checked)
        return m

    def _check(self, m: Module) -> dict[str, Value]:
        """Header and sizes, registered; *ready* takes the next flit in."""
        plan, shape, tail = self.plan, self.plan.shape, self.tail
        values = Signal(14)
        raw, many = Signal(), Signal()
        entries = Signal(range(plan.most_entries + 1))
        quotient = tail.header.values_less_one >> plan.left_bits
        m.d.comb += [
            values.eq(tail.header.values_less_one + 1),
            raw.eq(tail.header.slot == RAW_SLOT),
            many.eq(quotient > plan.most_entries),
            entries.eq(quotient),
        ]
        table, table_nbytes = Signal.like(tail.table), Signal(range(plan.table_nbytes + 1))
        with m.Switch(entries):
            for count in range(plan.most_entries + 1):
                with m.Case(count):
                    size = shape.table_nbytes(count)
                    m.d.comb += table_nbytes.eq(Mux(raw, 0, size))
                    m.d.comb += table.eq(tail.table >> (8 * (plan.table_nbytes - size)))
        sized = {
            "valid": Signal(),
            "ready": Signal(),
            "values": Signal.like(values),
            "table": Signal.like(table),
            "table_nbytes": Signal.like(table_nbytes),
            "refused": Signal(),
            "raw": Signal(),
            "tail": Signal.like(tail),
        }
        header = tail.header
        refused = (header.slot > plan.books) | (raw & (header.bias != 0)) | many
        with m.If(sized["ready"]):
            m.d.sync += [
                sized["valid"].eq(self.tail_valid),
                sized["values"].eq(values),
                sized["table"].eq(table),
                sized["table_nbytes"].eq(table_nbytes),
                sized["refused"].eq(refused),
                sized["raw"].eq(raw),
                sized["tail"].eq(tail),
            ]
        m.d.comb += self.tail_taken.eq(self.tail_valid & sized["ready"])
        return sized

    def _walk(self, m: Module, sized: dict[str, Value]) -> None:
        """From run to run."""
        plan, shape = self.plan, self.plan.shape
        valid, raw, void, broken = Signal(), Signal(), Signal(), Signal()
        flit = Signal(plan.flit_layout())
        left = Signal(14)
        """Values from this run on, less one."""
        book = Signal(plan.book_bits)
        table = Signal.like(self.tail.table)
        start, stop = Signal(plan.position_bits + 1), Signal(plan.position_bits)
        rest = Signal(plan.byte_bits)
        final, entry, bits = Signal(), Signal(plan.position_bits), Signal(plan.position_bits + 2)
        raw_bits = shape.run_symbols * shape.symbol_bits
        m.d.comb += [
            final.eq(void | ((left >> plan.left_bits) == 0)),
            entry.eq(Mux(raw, raw_bits, table[: shape.entry_bits])),
            bits.eq(Mux(final, stop - start, entry)),
            broken.eq(flit.broken | (final & ~void & ((start > stop) | table.any() & ~raw))),
            self.valid.eq(valid),
            self.void.eq(void),
            self.parsed.eq(self.take & final),
        ]
        nothing = bits[-1] & final
        head, run, order = self.run.head, self.run, self.order
        run_left = Mux(final, left[: plan.left_bits], shape.run_symbols - 1)
        m.d.comb += [
            run.slot.eq(flit.slot),
            run.position.eq(start - UNIT_BITS),
            run.bits.eq(Mux(nothing, 0, bits) + UNIT_BITS),
            head.left.eq(run_left),
            head.unused.eq(-bits),
            head.last.eq(final),
            head.book.eq(book),
            order.left.eq(run_left),
            order.rest.eq(rest),
            order.end.eq(final),
            order.flit.eq(flit),
            order.flit.broken.eq(broken),
            order.flit.void.eq(void),
        ]
        with m.If(self.take):
            over = start + entry
            m.d.sync += [
                start.eq(over),
                left.eq(left - shape.run_symbols),
                rest.eq(rest + shape.run_symbols),
                table.eq(table >> shape.entry_bits),
                # A start that no longer fits its register is behind the code words for good.
                flit.broken.eq(flit.broken | (over >> plan.position_bits).any()),
            ]
            with m.If(final):
                m.d.sync += valid.eq(0)
        m.d.comb += sized["ready"].eq(~sized["valid"] | ~valid | (self.take & final))
        space = self._space(sized)
        with m.If(sized["valid"] & (~valid | (self.take & final))):
            tail, values = sized["tail"], sized["values"]
            behind = shape.payload_nbytes - sized["table_nbytes"]
            rest_nbytes = values if shape.rest_bits else Const(0)
            m.d.sync += [
                valid.eq(1),
                void.eq(sized["refused"] | (space < 0)),
                raw.eq(sized["raw"]),
                flit.slot.eq(tail.slot),
                flit.bias.eq(tail.header.bias),
                flit.last.eq(tail.last),
                flit.broken.eq(0),
                left.eq(values - 1),
                book.eq(tail.header.slot),
                table.eq(sized["table"]),
                start.eq(HEADER_BITS),
                stop.eq(8 * (behind - rest_nbytes)[: plan.byte_bits]),
                rest.eq((behind - rest_nbytes)[: plan.byte_bits]),
            ]

    def _space(self, sized: dict[str, Value]) -> Value:
        """Bits to spare with one bit per symbol; below 0 where the parts do not fit."""
        shape = self.plan.shape
        needed = sized["values"] * (1 + shape.rest_bits) + 8 * sized["table_nbytes"]
        return shape.body_bits - needed
