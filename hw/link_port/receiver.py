"""The receiving side of a die-to-die adapter: flits checked, then their payloads for a decoder."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.huffman.layouts import word_layout
from hw.huffman.shape import LinkShape
from hw.link_port.checksum import word_checksum
from hw.link_port.flit_format import CHECKSUM_NBYTES, WORD_NBYTES, WORDS, flit_header_layout
from hw.link_port.gearbox import PayloadGearbox
from hw.link_port.transmitter import flit_pieces, flit_word_layout, payload_pieces


class LinkReceiver(wiring.Component):
    """Lets through the payloads of flits whose checksums hold and whose number is the next one.

    A flit is stored until its last word was checked. A damaged one, one out of order, and one of
    other than four words are dropped, and `refused` is 1 for a cycle; `expected` is the number that
    must come next, which is what a retry asks for (go-back-N). A dropped flit leaves no trace.

    **Latency**: *latency* cycles from a flit's last word to its first payload word being offered:
    5, and one for every further flit word that reaches into that payload word.
    **Throughput**: one flit word a cycle; `i.ready` falls when *flits* flits wait to be taken.

    Parameters
    ----------
    flits: flits that the store holds, 2 or more, a power of two.

    Raises
    ------
    ValueError for another number of flits, or a shape whose payload is not that of a flit.

    Members
    -------
    i: In, stream of `flit_word_layout`. o: Out, stream of `word_layout`.
    refused: Out, a flit was dropped. expected: Out, number of the flit that must come next.
    """

    def __init__(self, shape: LinkShape, *, flits: int = 4):
        if flits < 2 or flits & (flits - 1):
            raise ValueError(f"flits is {flits}: expected a power of two, 2 or more")
        self.shape = shape
        self.pieces = payload_pieces(shape)
        self.depth = flits * WORDS
        self.store_bits = self.depth * 8 * WORD_NBYTES
        self.latency = 5 + sum(piece.stop < self.pieces[0].stop for piece in flit_pieces())
        super().__init__(
            {
                "i": In(stream.Signature(flit_word_layout())),
                "o": Out(stream.Signature(word_layout(shape))),
                "refused": Out(1),
                "expected": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = Memory(shape=8 * WORD_NBYTES, depth=self.depth, init=[])
        m.submodules.gearbox = gearbox = PayloadGearbox(
            taken=flit_pieces(),
            given=self.pieces,
            taken_nbytes=WORD_NBYTES,
            given_nbytes=self.shape.word_nbytes,
            tag_bits=2,
        )
        committed = Signal(range(2 * self.depth))
        read = Signal.like(committed)
        self._check(m, store, committed, read)
        self._read(m, store, committed, read, gearbox)
        m.d.comb += [
            self.o.valid.eq(gearbox.o.valid),
            self.o.p.data.eq(gearbox.o.p.data),
            self.o.p.end.eq(gearbox.o.p.end),
            Cat(self.o.p.first, self.o.p.last).eq(gearbox.o.p.tag),
            gearbox.o.ready.eq(self.o.ready),
        ]
        return m

    def _check(self, m: Module, store: Memory, committed: Signal, read: Signal) -> None:
        """Write every word; count a flit in with its last word if all of it was found good."""
        port = store.write_port()
        written = Signal.like(committed)
        place = Signal(range(WORDS))
        taken, checking, writing = Signal(), Signal(), Signal()
        waiting = Signal(range(2 * self.depth))
        m.d.comb += [
            waiting.eq((written - read)[: len(written)]),
            self.i.ready.eq(waiting + checking + writing < self.depth),
            taken.eq(self.i.valid & self.i.ready),
        ]

        # First the parities of a word, then those of both words of a half joined and judged; the
        # words go along, so that a flit's verdict is there before the next one's first is written.
        word, end = self.i.p.data, self.i.p.end
        checksum = 8 * CHECKSUM_NBYTES
        body = Signal.like(word)
        own, sent = Signal(checksum, reset_less=True), Signal(checksum, reset_less=True)
        checked = Signal(flit_word_layout(), reset_less=True)
        checked_place = Signal.like(place)
        header = Signal(flit_header_layout(), reset_less=True)
        m.d.comb += body.eq(Mux(place[0], word[:-checksum], word))
        m.d.sync += checking.eq(taken)
        with m.If(taken):
            m.d.sync += [
                own.eq(word_checksum(body)),
                sent.eq(word[-checksum:]),
                checked.eq(self.i.p),
                checked_place.eq(place),
                place.eq(Mux(end, 0, place + 1)),
            ]
            with m.If(place == 0):
                m.d.sync += header.eq(word[: len(header.as_value())])

        before = Signal.like(own)
        broken, wrong, ill_placed = Signal(), Signal(), Signal()
        m.d.comb += [
            ill_placed.eq(checked.end != (checked_place == WORDS - 1)),
            wrong.eq(
                broken | ill_placed | (checked_place[0] & (own ^ word_checksum(before) != sent))
            ),
        ]
        last, good = Signal(), Signal()
        number = Signal.like(header.number)
        m.d.sync += [writing.eq(checking), last.eq(checking & checked.end)]
        data_held = Signal.like(word, name="data_held", reset_less=True)
        with m.If(checking):
            m.d.sync += [
                before.eq(own),
                broken.eq(wrong & ~checked.end),
                good.eq(~wrong),
                number.eq(header.number),
                data_held.eq(checked.data),
            ]

        following = Signal.like(written)
        m.d.comb += [
            port.en.eq(writing),
            port.addr.eq(written),
            port.data.eq(data_held),
            following.eq(written + 1),
            self.refused.eq(last & ~(good & (number == self.expected))),
        ]
        with m.If(writing):
            # What is refused is written over by the next flit.
            m.d.sync += written.eq(Mux(self.refused, committed, following))
        with m.If(last & ~self.refused):
            m.d.sync += [committed.eq(following), self.expected.eq(self.expected + 1)]

    def _read(
        self,
        m: Module,
        store: Memory,
        committed: Signal,
        read: Signal,
        gearbox: PayloadGearbox,
    ) -> None:
        """Words of good flits, one after the other, into the gearbox."""
        port = store.read_port()
        offered = Signal()
        header = Signal(flit_header_layout())
        more = Signal()
        following = Signal.like(read)
        taken = Signal()
        m.d.comb += [
            taken.eq(offered & gearbox.i.ready),
            following.eq(read + taken),
            more.eq(following != committed),
            port.addr.eq(following),
            header.eq(port.data[: len(header.as_value())]),
        ]
        m.d.sync += [offered.eq(more), read.eq(following)]
        tag = Signal(2)
        with m.If(read[: (WORDS - 1).bit_length()] == 0):
            m.d.comb += gearbox.i.p.tag.eq(Cat(header.first, header.last))
            m.d.sync += tag.eq(gearbox.i.p.tag)
        with m.Else():
            m.d.comb += gearbox.i.p.tag.eq(tag)
        m.d.comb += [gearbox.i.valid.eq(offered), gearbox.i.p.data.eq(port.data)]
