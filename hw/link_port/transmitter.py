"""The sending side of a die-to-die adapter: payload words into flits with header and checksums."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.layouts import word_layout
from hw.huffman.shape import LinkShape
from hw.link_port.checksum import word_checksum
from hw.link_port.flit_format import (
    CHECKSUM_NBYTES,
    HEADER_NBYTES,
    PAYLOAD_NBYTES,
    PAYLOAD_PIECES,
    WORD_NBYTES,
    WORDS,
    flit_header_layout,
)
from hw.link_port.gearbox import PayloadGearbox, Piece, pieces_of


def flit_word_layout() -> data.StructLayout:
    """64 bytes of a flit, and whether they are its last."""
    return data.StructLayout({"data": 8 * WORD_NBYTES, "end": 1})


def payload_pieces(shape: LinkShape) -> list[Piece]:
    """The payload bytes of every word that leaves an encoder or enters a decoder.

    ValueError for a shape whose payload is not that of a flit.
    """
    if shape.payload_nbytes != PAYLOAD_NBYTES:
        raise ValueError(
            f"payload_nbytes is {shape.payload_nbytes}: a flit carries {PAYLOAD_NBYTES}"
        )
    full, rest = divmod(PAYLOAD_NBYTES, shape.word_nbytes)
    return pieces_of([shape.word_nbytes] * full + [rest] * bool(rest))


def flit_pieces() -> list[Piece]:
    """The payload bytes of every word of a flit, and where in it they stand."""
    return pieces_of(PAYLOAD_PIECES, [HEADER_NBYTES, *[0] * (WORDS - 1)])


class LinkTransmitter(wiring.Component):
    """Puts the payloads of an encoder into flits of 256 bytes, four words each.

    Flits are numbered modulo 256 from 0 after reset. Keeping them until the other end has them is
    the adapter's retry buffer, which this is not.

    **Latency**: 4 cycles from the payload word that completes a flit word to that being offered.
    **Throughput**: one flit word a cycle. **Back-pressure**: everything stands still while a word
    is offered and not taken.

    Members
    -------
    i: In, stream of `word_layout`. o: Out, stream of `flit_word_layout`.
    """

    latency = 4

    def __init__(self, shape: LinkShape):
        self.shape = shape
        self.pieces = payload_pieces(shape)
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(shape))),
                "o": Out(stream.Signature(flit_word_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.gearbox = gearbox = PayloadGearbox(
            taken=self.pieces,
            given=flit_pieces(),
            taken_nbytes=self.shape.word_nbytes,
            given_nbytes=WORD_NBYTES,
            tag_bits=2,
        )
        advance = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            gearbox.i.valid.eq(self.i.valid),
            gearbox.i.p.data.eq(self.i.p.data),
            gearbox.i.p.tag.eq(Cat(self.i.p.first, self.i.p.last)),
            self.i.ready.eq(gearbox.i.ready),
            gearbox.o.ready.eq(advance),
        ]

        header = Signal(flit_header_layout())
        number, place = Signal(8), Signal(range(WORDS))
        word = Signal(8 * WORD_NBYTES)
        m.d.comb += [
            Cat(header.first, header.last).eq(gearbox.o.p.tag),
            header.number.eq(number),
            word.eq(gearbox.o.p.data),
        ]
        with m.If(place == 0):
            m.d.comb += word[: len(header.as_value())].eq(header)

        # One stage to choose the word's bytes, one for its parities, one to join those of a half.
        chosen = Signal(flit_word_layout(), reset_less=True)
        plain = Signal(flit_word_layout(), reset_less=True)
        own, before = Signal(8 * CHECKSUM_NBYTES, reset_less=True), Signal(8 * CHECKSUM_NBYTES)
        held, filled = Signal(), Signal()
        held_place, closes = Signal.like(place), Signal()
        whole = Signal.like(own)
        m.d.comb += whole.eq(own ^ word_checksum(before))
        with m.If(advance):
            m.d.sync += [
                held.eq(gearbox.o.valid),
                chosen.data.eq(word),
                chosen.end.eq(gearbox.o.p.end),
                held_place.eq(place),
                filled.eq(held),
                plain.eq(chosen),
                own.eq(word_checksum(chosen.data)),
                closes.eq(held_place[0]),
                self.o.valid.eq(filled),
                self.o.p.eq(plain),
            ]
            with m.If(gearbox.o.valid):
                m.d.sync += [place.eq(place + 1), number.eq(number + gearbox.o.p.end)]
            with m.If(filled):
                m.d.sync += before.eq(own)
                with m.If(closes):
                    m.d.sync += self.o.p.data[-len(whole) :].eq(whole)
        return m
