"""What the header of a flit says about the rest of it, and whether it can be true."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.canonical import pick
from hw.huffman.flit_receiver import arrival_layout
from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import HEADER_BITS, RAW_SLOT


def plan_layout(shape: LinkShape, books: int) -> data.StructLayout:
    """How a flit is decoded.

    values: how many it holds; none if its header breaks a rule, which *refused* says.
    slot: its codebook, 0 for raw. bias: added to its symbols. entries: of its table.
    body_nbytes: header and code words, up to the rest bytes.
    word: the ring's word that it begins with. last: the message ends with it.
    """
    return data.StructLayout(
        {
            "values": range(most_values(shape) + 1),
            "slot": range(books + 1),
            "bias": signed(6),
            "entries": range(most_entries(shape) + 1),
            "body_nbytes": range(shape.payload_nbytes + 1),
            "word": range(shape.words_per_flit + 1),
            "last": 1,
            "refused": 1,
        }
    )


def most_coded_values(shape: LinkShape) -> int:
    """Values of the shortest code word that fit a coded flit beside table and rest bytes."""

    def fits(values: int) -> bool:
        table = shape.table_nbytes((values - 1) // shape.run_symbols)
        bits = HEADER_BITS + values * (shape.min_length + shape.rest_bits) + 8 * table
        return bits <= shape.payload_bits

    values = shape.max_values
    while not fits(values):
        values -= 1
    return values


def most_values(shape: LinkShape) -> int:
    """The most that a flit holds, coded or raw."""
    return max(shape.raw_values, most_coded_values(shape))


def most_entries(shape: LinkShape) -> int:
    """The most entry points of a flit."""
    return (most_coded_values(shape) - 1) // shape.run_symbols


class FlitPlanner(wiring.Component):
    """Reads a header.

    A flit that claims more values than a flit can hold even of the shortest code word is refused
    here: its rest bytes would overlap its code words, however short they are.

    Combinational: latency 0.

    Members
    -------
    arrival: In, see `arrival_layout`. plan: Out, see `plan_layout`.
    """

    def __init__(self, shape: LinkShape, *, books: int):
        self.shape = shape
        self.books = books
        super().__init__(
            {"arrival": In(arrival_layout(shape)), "plan": Out(plan_layout(shape, books))}
        )

    def elaborate(self, platform):
        m = Module()
        shape, header, plan = self.shape, self.arrival.header, self.plan
        raw = Signal()
        most = Mux(raw, shape.raw_values, most_coded_values(shape))
        run_log2 = shape.run_symbols.bit_length() - 1
        # Room for header, code words and all rest bytes but one, by the number of entry points.
        rest_nbytes = shape.rest_bits // 8
        rooms = [
            Const(shape.payload_nbytes - shape.table_nbytes(entries) - rest_nbytes)
            for entries in range(most_entries(shape) + 1)
        ]
        claimed = Signal.like(plan.values)
        m.d.comb += [
            raw.eq(header.slot == RAW_SLOT),
            plan.refused.eq(
                (header.slot > self.books)
                | (raw & (header.bias != 0))
                | (header.values_less_one >= most)
            ),
            claimed.eq(header.values_less_one),
            plan.values.eq(Mux(plan.refused, 0, claimed + 1)),
            plan.slot.eq(header.slot),
            plan.bias.eq(header.bias),
            plan.entries.eq(Mux(raw, 0, header.values_less_one[run_log2:])),
            plan.body_nbytes.eq(
                Mux(
                    plan.refused,
                    1,
                    pick(rooms, Cat(plan.entries, Const(0, 1))) - rest_nbytes * claimed,
                )
            ),
            plan.word.eq(self.arrival.slot),
            plan.last.eq(self.arrival.last),
        ]
        return m
