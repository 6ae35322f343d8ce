"""A ring of words, one more than a flit has: the next flit comes in while one is decoded."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.layouts import header_layout, word_layout
from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import HEADER_BITS


def arrival_layout(shape: LinkShape) -> data.StructLayout:
    """A flit whose first word is there: its header, where it stands, the message's last or not."""
    return data.StructLayout(
        {"header": header_layout(), "slot": range(shape.words_per_flit + 1), "last": 1}
    )


class FlitReceiver(wiring.Component):
    """Takes words while there is room, and counts them for those who read them.

    A word is kept from the cycle after its transfer until it is released. Words are counted, so
    that a flit begins with every *words_per_flit*-th: `end` of the input is not looked at.

    **Throughput**: one word a cycle while there is room. `i.ready` is a function of registers.

    Members
    -------
    i: In, stream of words, see `word_layout`.
    words: Out, the ring.
    arrived: Out, the first word of a flit is there, see `arrival_layout`. arrived_valid: Out.
    arrived_taken: In, it is not needed any more.
    ahead: Out, one count per reader: words that are there of the flit it is at, and behind it.
    passed: In, a bit per reader: it goes on to the next flit, every word of this one being there.
    released: In, so many of the oldest words are given back.
    """

    def __init__(self, shape: LinkShape, *, readers: int):
        self.shape = shape
        self.slots = shape.words_per_flit + 1
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(shape))),
                "words": Out(data.ArrayLayout(8 * shape.word_nbytes, self.slots)),
                "arrived": Out(arrival_layout(shape)),
                "arrived_valid": Out(1),
                "arrived_taken": In(1),
                "ahead": Out(data.ArrayLayout(range(self.slots + 1), readers)),
                "passed": In(readers),
                "released": In(range(shape.words_per_flit + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        slots, words = self.slots, self.shape.words_per_flit
        slot = Signal(range(slots))
        word = Signal(range(words))
        used = Signal(range(slots + 1))
        accepted = Signal()
        ring = [
            Signal(8 * self.shape.word_nbytes, name=f"word{place}", reset_less=True)
            for place in range(slots)
        ]
        m.d.comb += [
            self.i.ready.eq((used != slots) & ~((word == 0) & self.arrived_valid)),
            accepted.eq(self.i.valid & self.i.ready),
            *(kept.eq(signal) for kept, signal in zip(self.words, ring, strict=True)),
        ]
        m.d.sync += used.eq(used + accepted - self.released)
        for reader, ahead in enumerate(self.ahead):
            m.d.sync += ahead.eq(ahead + accepted - Mux(self.passed[reader], words, 0))
        with m.If(self.arrived_taken):
            m.d.sync += self.arrived_valid.eq(0)
        with m.If(accepted):
            m.d.sync += [
                slot.eq(Mux(slot == slots - 1, 0, slot + 1)),
                word.eq(Mux(word == words - 1, 0, word + 1)),
            ]
        for place, kept in enumerate(ring):
            with m.If(accepted & (slot == place)):
                m.d.sync += kept.eq(self.i.payload.data)
        with m.If(accepted & (word == 0)):
            m.d.sync += [
                self.arrived_valid.eq(1),
                self.arrived.header.eq(self.i.payload.data[:HEADER_BITS]),
                self.arrived.slot.eq(slot),
                self.arrived.last.eq(self.i.payload.last),
            ]
        return m
