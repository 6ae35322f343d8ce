"""The output of an encoder: a register and a spare one, so that no ready signal runs through it."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.layouts import word_layout
from hw.huffman.shape import LinkShape


class WordBuffer(wiring.Component):
    """Takes a word whenever *moves* is high, which depends on registers only.

    Latency 1 cycle, one word a cycle.

    Members
    -------
    valid, word: In, a word to be taken, only while *moves*. moves: Out.
    o: Out, stream of words, see `word_layout`.
    """

    def __init__(self, shape: LinkShape):
        super().__init__(
            {
                "valid": In(1),
                "word": In(word_layout(shape)),
                "moves": Out(1),
                "o": Out(stream.Signature(word_layout(shape))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spare = Signal(self.word.shape(), reset_less=True)
        spare_valid = Signal()
        free = Signal()
        payload = Signal.like(self.o.payload, reset_less=True)
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            self.moves.eq(~spare_valid),
            self.o.payload.eq(payload),
        ]
        with m.If(free):
            m.d.sync += [self.o.valid.eq(self.valid | spare_valid), spare_valid.eq(0)]
            with m.If(spare_valid):
                m.d.sync += payload.eq(spare)
            with m.Else():
                m.d.sync += payload.eq(self.word)
        with m.Else():
            m.d.sync += spare_valid.eq(spare_valid | self.valid)
        with m.If(~spare_valid):
            m.d.sync += spare.eq(self.word)
        return m
