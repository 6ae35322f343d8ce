"""Queues: what goes in comes out once, unchanged and in order."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value

from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.prove import Property
from hw.formal.small import SmallShape
from hw.huffman.delay_line import REGISTERS_UP_TO, DelayLine
from hw.huffman.word_buffer import WordBuffer

SHAPE = SmallShape(
    symbol_bits=4,
    rest_bits=0,
    min_length=1,
    max_length=6,
    values_per_cycle=4,
    payload_nbytes=8,
    run_symbols=16,
    words_per_flit=1,
)


class FollowedWord:
    """A word of free choice is followed through a queue.

    The words before it are counted down as they leave; when none is left, it must be the one that
    is offered. Since any word can be the one, this is so for all: none is lost, doubled or
    overtaken. *held*: how many words are inside. *waiting*: it is, with *before* words before it.
    A word may also pass through an empty queue in the cycle in which it comes.
    """

    def __init__(
        self,
        harness: Harness,
        m: Module,
        *,
        capacity: int,
        enters: Value,
        entering: Value,
        leaves: Value,
        offered: Value,
        leaving: Value,
    ):
        self.held = Signal(range(capacity + 1), name="held_words")
        self.before = Signal(range(capacity + 1), name="words_before")
        self.waiting = Signal(name="followed")
        self.kept = Signal(len(entering), name="kept_word", reset_less=True)
        harness.shown += ["held_words", "words_before", "followed", "kept_word"]
        follow = harness.free(m, 1, "follow")
        m.d.sync += self.held.eq(self.held + enters - leaves)
        passes = enters & leaves & (self.held == 0)
        with m.If(self.waiting):
            m.d.sync += [
                self.before.eq(self.before - leaves),
                self.waiting.eq(~(leaves & (self.before == 0))),
            ]
        with m.Elif(enters & follow & ~passes):
            m.d.sync += [
                self.waiting.eq(1),
                self.before.eq(self.held - leaves),
                self.kept.eq(entering),
            ]
        harness.check(m, "through", ~passes | (leaving == entering), "what passes is unchanged")
        at_front = self.waiting & (self.before == 0) & offered
        harness.check(
            m, "same", ~at_front | (leaving == self.kept), "the word whose turn it is comes out"
        )
        harness.check(
            m,
            "not_lost",
            ~self.waiting | (self.before < self.held),
            "a word that went in has yet to come out",
        )
        harness.check(
            m, "nothing_else", ~leaves | passes | (self.held != 0), "nothing else comes out"
        )
        harness.check(m, "capacity", self.held <= capacity, "no more goes in than it holds")
        harness.reach(m, "second", self.waiting & (self.before == 0) & leaves & enters)
        harness.reach(m, "full", self.held == capacity)


class BufferedWords(Harness):
    """The output buffer of the encoder: order, and the stream contract at its output."""

    def __init__(self) -> None:
        super().__init__()
        self.dut = WordBuffer(SHAPE)

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        self.assume(m, ~dut.valid | dut.moves)
        payload = self.show(m, dut.o.payload, "o_payload")
        valid = self.show(m, dut.o.valid, "o_valid")
        self.show(m, dut.moves, "moves")
        followed = FollowedWord(
            self,
            m,
            capacity=2,
            enters=dut.valid,
            entering=Value.cast(dut.word),
            leaves=valid & dut.o.ready,
            offered=valid,
            leaving=payload,
        )
        spare_valid = self.spy(m, 1, "dut.spare_valid")
        spare = self.spy(m, len(payload), "dut.spare")
        self.check(m, "held", followed.held == valid + spare_valid, "both registers are counted")
        self.check(m, "order", ~spare_valid | valid, "the spare register comes second")
        second = followed.waiting & (followed.before == 1)
        self.check(m, "spare", ~second | (spare == followed.kept), "the spare holds the second")
        waiting = Signal()
        m.d.sync += waiting.eq(valid & ~dut.o.ready)
        before = self.delayed(m, payload, 1, "payload")
        self.check(m, "valid_stays", ~waiting | valid, "what is offered is not withdrawn")
        self.check(
            m, "payload_stays", ~waiting | (payload == before), "what is offered does not change"
        )


class DelayedWord(Harness):
    """What comes out is what went in *depth* cycles ago."""

    def __init__(self, *, width: int, depth: int):
        super().__init__()
        self.dut = DelayLine(width=width, depth=depth)

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        follow = self.free(m, 1, "follow")
        kept, age = Signal(dut.width, reset_less=True), Signal(range(dut.depth + 1))
        with m.If(age != 0):
            m.d.sync += age.eq(Mux(age == dut.depth, 0, age + 1))
        with m.Elif(follow):
            m.d.sync += [kept.eq(dut.i), age.eq(1)]
        self.show(m, age, "age")
        self.show(m, dut.o, "out")
        self.check(
            m, "same", (age != dut.depth) | (dut.o == kept), "what went in comes out in time"
        )
        self.reach(m, "out", (age == dut.depth) & (kept != 0))


def _buffer() -> Property:
    def forget(m, buffer):
        with m.If(buffer.o.valid & buffer.o.ready):
            m.d.sync += buffer.o.valid.eq(buffer.valid)

    def always(m, buffer):
        m.d.comb += buffer.moves.eq(1)

    return Property(
        name="word-buffer",
        sentence="every word leaves the encoder's output buffer once, in order; what is offered "
        "stays",
        build=BufferedWords,
        depth=9,
        induction=1,
        mutants=(
            statement("the spare word is forgotten", WordBuffer, forget),
            statement("a word is taken where there is no room", WordBuffer, always),
        ),
    )


def _delay(name: str, *, width: int, depth: int) -> Property:
    def one_bit(m, line):
        m.d.comb += line.o[0].eq(1)

    return Property(
        name=f"delay-line-{name}",
        sentence=f"what goes in comes out {depth} cycles later, unchanged",
        build=lambda: DelayedWord(width=width, depth=depth),
        depth=depth + 3,
        induction=depth + 1,
        mutants=(statement("one bit is stuck", DelayLine, one_bit),),
    )


PROPERTIES = (
    _buffer(),
    _delay("registers", width=4, depth=6),
    _delay("memory", width=2, depth=REGISTERS_UP_TO + 1),
)
