"""The flit buffer: rows gather in it, coded and raw, until the flit closes and leaves whole."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import HEADER_BITS


def flit_layout(shape: LinkShape) -> data.StructLayout:
    """A flit payload, bit i of byte b at 8 b + i, and whether a message begins or ends with it."""
    return data.StructLayout({"payload": shape.payload_bits, "first": 1, "last": 1})


def closing_layout(shape: LinkShape, slot_bits: int) -> data.StructLayout:
    """What is known of a flit when it closes.

    values: how many it has. coded: or raw. table_start, rest_start: bytes of the payload before the
    table and before the rest bytes. slot, first, last: its message's slot, and whether the message
    begins or ends with it.
    """
    return data.StructLayout(
        {
            "values": range(shape.max_values + 1),
            "coded": 1,
            "table_start": range(shape.payload_nbytes + 1),
            "rest_start": range(shape.payload_nbytes + 1),
            "slot": slot_bits,
            "first": 1,
            "last": 1,
        }
    )


class FlitAssembler(wiring.Component):
    """Keeps the open flit in three buffers: code words, raw symbols and rest bytes.

    Where the rest bytes stand is known only when the flit closes, for they end at its table: they
    gather from place 0 and are shifted then. Symbols are kept raw only as far as a raw flit goes.

    Latency 1 cycle, one row and one flit a cycle; it never waits.

    Members
    -------
    codes, symbols, rest: In, what a row adds to the open flit, at its place.
    next_codes, next_symbols, next_rest: In, what it opens the next flit with.
    close, closing, table: In, the open flit is complete with this row, and what it is.
    valid: Out, a flit closed with the row before. flit: Out, see `flit_layout`; kept while not
    valid.
    """

    latency = 1

    def __init__(self, shape: LinkShape, *, slot_bits: int):
        self.shape = shape
        row = shape.values_per_cycle
        super().__init__(
            {
                "codes": In(shape.body_bits),
                "symbols": In(shape.raw_values * shape.symbol_bits),
                "rest": In(shape.max_values * shape.rest_bits),
                "next_codes": In(shape.row_bits),
                "next_symbols": In(row * shape.symbol_bits),
                "next_rest": In(row * shape.rest_bits),
                "close": In(1),
                "closing": In(closing_layout(shape, slot_bits)),
                "table": In(8 * shape.table_nbytes(shape.max_entries)),
                "valid": Out(1),
                "flit": Out(flit_layout(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        codes = self._gathered(m, self.codes, self.next_codes, "codes")
        symbols = self._gathered(m, self.symbols, self.next_symbols, "symbols")
        rest = self._gathered(m, self.rest, self.next_rest, "rest")
        closing = self.closing
        header = Cat((closing.values - 1)[:13], Const(0, 13 - len((closing.values - 1)[:13])))
        slot = Mux(closing.coded, closing.slot, 0)
        front = Cat(header, slot, Const(0, HEADER_BITS - len(header) - len(slot)))
        body = Signal(self.shape.body_bits)
        m.d.comb += body.eq(Mux(closing.coded, codes, symbols))
        m.d.sync += self.valid.eq(self.close)
        with m.If(self.close):
            m.d.sync += [
                self.flit.payload.eq(Cat(front, body) | self._tail(m, rest)),
                self.flit.first.eq(closing.first),
                self.flit.last.eq(closing.last),
            ]
        return m

    def _gathered(self, m: Module, placed: Value, opening: Value, name: str) -> Value:
        """The open flit's buffer with this row in it."""
        kept = Signal(len(placed), name=f"kept_{name}")
        whole = Signal(len(placed), name=f"whole_{name}")
        m.d.comb += whole.eq(kept | placed)
        m.d.sync += kept.eq(Mux(self.close, opening, whole))
        return whole

    def _tail(self, m: Module, rest: Value) -> Value:
        """Rest bytes and table where they stand in the payload."""
        shape, closing = self.shape, self.closing
        # Every table ends the payload, so a shorter one starts behind the start of the longest.
        lowest = shape.payload_nbytes - len(self.table) // 8
        moved = Signal(range(len(self.table) // 8 + 1))
        m.d.comb += moved.eq(closing.table_start - lowest)
        table = Mux(closing.coded, self.table, 0) << Cat(Const(0, 3), moved)
        tail = Cat(Const(0, 8 * lowest), table[: len(self.table)])
        if not shape.rest_bits:
            return tail
        return tail | (rest << Cat(Const(0, 3), closing.rest_start))[: shape.payload_bits]
