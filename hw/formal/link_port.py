"""The link port: the stream contract, and payload bytes through the gearbox."""

from __future__ import annotations

from amaranth import Array, Module, Mux, Signal, Value

from hw.formal.contract import contract, hold_input
from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.prove import Property
from hw.huffman.shape import LinkShape
from hw.link_port.flit_format import PAYLOAD_NBYTES
from hw.link_port.gearbox import PayloadGearbox, Piece, pieces_of
from hw.link_port.receiver import LinkReceiver
from hw.link_port.transmitter import LinkTransmitter, flit_pieces, payload_pieces

SHAPE = LinkShape(
    symbol_bits=8,
    rest_bits=8,
    min_length=1,
    max_length=16,
    values_per_cycle=4,
    payload_nbytes=PAYLOAD_NBYTES,
    run_symbols=64,
    words_per_flit=4,
)
_COUNT_BITS = 2
"""Of the counters of payloads; a gearbox holds at most one and a half."""


class GearboxBytes(Harness):
    """Byte b of the n-th payload goes out as byte b of the n-th payload, for every b and n.

    The byte is followed from where it goes in to where it comes out: its value is kept on the way
    in, and compared on the way out.
    """

    def __init__(self, taken: list[Piece], given: list[Piece], word_nbytes: tuple[int, int]):
        super().__init__()
        self.taken, self.given = taken, given
        self.dut = PayloadGearbox(
            taken=taken,
            given=given,
            taken_nbytes=word_nbytes[0],
            given_nbytes=word_nbytes[1],
            tag_bits=1,
        )

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        hold_input(self, m, dut.i)
        byte = self.constant(m, range(self.taken[-1].stop), "byte")
        number = self.constant(m, _COUNT_BITS, "payload")
        self.assume(m, byte < self.taken[-1].stop)
        came = _Side(self, m, dut.i, self.taken, byte, number, "in")
        went = _Side(self, m, dut.o, self.given, byte, number, "out")
        kept = Signal(8, reset_less=True)
        known = Signal()
        done = Signal()
        self.shown += ["kept", "known", "done"]
        # The counters wrap, so `follow` says of which payload with that number the byte is meant.
        follow = self.free(m, 1, "follow")
        with m.If(came.here & follow & ~known):
            m.d.sync += [kept.eq(came.value), known.eq(1)]
        with m.If(went.here & known):
            m.d.sync += done.eq(1)
        good = went.value == kept
        self.check(m, "kept", ~went.here | ~known | done | good, "byte b comes out as b")
        self.reach(m, "followed", went.here & ~done & known & (number == 1))
        self._tie(m, byte, number, came, went, kept, known, done)

    def _tie(self, m, byte, number, came, went, kept, known, done) -> None:
        """What the gearbox's registers mean; this makes the induction close."""
        words, due = len(self.taken), Array(self.dut.due)
        taken = self.spy(m, range(words), "dut.taken")
        given = self.spy(m, range(len(self.given)), "dut.given")
        held = self.spy(m, 1, "dut.held")
        have = Signal(range(words + 1))
        m.d.comb += have.eq(taken + held)
        full = have == words
        before = due[(given - 1)[: len(given)]]
        nothing_left = (given == 0) | (before < taken) | (held & (before == taken))
        self.check(m, "place", came.place == Mux(full, 0, have), "words in are counted")
        self.check(m, "given", went.place == given, "words out are counted")
        self.check(
            m, "payloads", came.count == (went.count + full)[:_COUNT_BITS], "payloads are counted"
        )
        self.check(
            m,
            "due",
            (due[given] >= taken) & nothing_left & (taken < words) & (given < len(self.given)),
            "the word that goes out is the next one due",
        )
        on_its_way = (went.count == number) & (given <= went.holds) & (have > came.holds)
        self.check(m, "inside", ~known | done | on_its_way, "a byte that is in has yet to go out")
        for age in range(self.dut.history + 1):
            word = self.spy(m, len(self.dut.i.p.data), f"dut.word{age}")
            here = known & ~done & (have == came.holds + 1 + age)
            same = came.byte_of(word) == kept
            self.check(m, f"stored{age}", ~here | same, f"word {age} holds the byte")


class _Side:
    """Where the byte that is followed passes on one side, counted from reset."""

    def __init__(self, harness, m, stream, pieces, byte, number, name):
        self.place = Signal(range(len(pieces)), name=f"{name}_word")
        self.count = Signal(_COUNT_BITS, name=f"{name}_payload")
        self.holds = Signal(range(len(pieces)), name=f"{name}_holds")
        """The word that holds the byte."""
        self._within = Signal(range(len(stream.p.data) // 8), name=f"{name}_within")
        harness.shown += [self.place.name, self.count.name]
        transfer = harness.show(m, stream.valid & stream.ready, f"{name}_transfer")
        harness.show(m, stream.p.data, f"{name}_data")
        for word, piece in enumerate(pieces):
            with m.If((byte >= piece.start) & (byte < piece.stop)):
                m.d.comb += [
                    self.holds.eq(word),
                    self._within.eq(byte - piece.start + piece.place),
                ]
        last = self.place == len(pieces) - 1
        with m.If(transfer):
            m.d.sync += [
                self.place.eq(Mux(last, 0, self.place + 1)),
                self.count.eq(self.count + last),
            ]
        self.here = transfer & (self.count == number) & (self.place == self.holds)
        self.value = self.byte_of(stream.p.data)

    def byte_of(self, word: Value) -> Value:
        """Its value in a word of this side."""
        return word.word_select(self._within, 8)


def _overrun(m, component):
    m.d.comb += component.i.ready.eq(1)


def _withdraw(m, component):
    with m.If(~component.o.ready):
        m.d.sync += component.o.valid.eq(0)


def _forget(m, receiver):
    with m.If(receiver.i.valid & receiver.i.ready):
        m.d.comb += receiver.o.valid.eq(0)


def _gearbox(name: str, taken, given, word_nbytes, depth: int) -> Property:
    return Property(
        name=f"gearbox-{name}",
        sentence="every payload byte leaves the gearbox once, in its place, with its value",
        build=lambda: GearboxBytes(taken, given, word_nbytes),
        depth=depth,
        induction=1,
        mutants=(statement("a word is taken where there is no room", PayloadGearbox, _overrun),),
    )


PROPERTIES = (
    _gearbox("transmitter", payload_pieces(SHAPE), flit_pieces(), (SHAPE.word_nbytes, 64), 14),
    _gearbox("receiver", flit_pieces(), payload_pieces(SHAPE), (64, SHAPE.word_nbytes), 14),
    _gearbox("small", pieces_of([3, 3, 1]), pieces_of([2, 3, 2], [1, 0, 0]), (3, 3), 24),
    contract(
        "link-transmitter",
        lambda: LinkTransmitter(SHAPE),
        statement("an offered word is withdrawn", LinkTransmitter, _withdraw),
        depth=12,
    ),
    contract(
        "link-receiver",
        lambda: LinkReceiver(SHAPE, flits=2),
        statement("an offered word hides while one comes in", LinkReceiver, _forget),
        depth=14,
    ),
)
