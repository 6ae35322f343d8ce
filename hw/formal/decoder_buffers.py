"""The decoder's buffers: words in the ring, symbols moved together."""

from __future__ import annotations

from amaranth import Array, Const, Module, Mux, Signal

from hw.formal.contract import hold_input
from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.prove import Property
from hw.formal.small import SmallShape
from hw.huffman.compactor import Compactor
from hw.huffman.flit_receiver import FlitReceiver
from hw.huffman.layouts import word_layout

SHAPE = SmallShape(
    symbol_bits=4,
    rest_bits=0,
    min_length=1,
    max_length=6,
    values_per_cycle=4,
    payload_nbytes=12,
    run_symbols=16,
    words_per_flit=3,
)


class RingOfWords(Harness):
    """A word stays in its slot, unchanged, until it is released, and none is taken without room.

    Readers keep to their side: they pass a flit when all of its words are there, and release no
    more words than there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dut = FlitReceiver(SHAPE, readers=1)

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        words = SHAPE.words_per_flit
        self.free_inputs(m, dut)
        hold_input(self, m, dut.i)
        accepted = self.show(m, dut.i.valid & dut.i.ready, "accepted")
        used, ahead = Signal(range(dut.slots + 1)), Signal(range(dut.slots + 1))
        slot, word = Signal(range(dut.slots)), Signal(range(words))
        self.assume(m, dut.released <= used)
        self.assume(m, ~dut.passed[0] | (ahead >= words))
        m.d.sync += [
            used.eq(used + accepted - dut.released),
            ahead.eq(ahead + accepted - Mux(dut.passed[0], words, 0)),
        ]
        with m.If(accepted):
            m.d.sync += [
                slot.eq(Mux(slot == dut.slots - 1, 0, slot + 1)),
                word.eq(Mux(word == words - 1, 0, word + 1)),
            ]
        self.check(m, "room", ~accepted | (used < dut.slots), "no word is taken without room")
        self.check(m, "ahead", dut.ahead[0] == ahead, "the words ahead of a reader are counted")
        self._follow(m, accepted, used, slot)
        self._header(m, accepted, word)
        for name, model in (("slot", slot), ("word", word), ("used", used)):
            register = self.spy(m, len(model), f"dut.{name}")
            self.check(m, name, register == model, f"{name} counts what it should")
        in_range = (used <= dut.slots) & (slot < dut.slots) & (word < words) & (ahead <= used)
        self.assume(m, dut.released <= Mux(used > ahead, used - ahead, 0))
        self.check(m, "range", in_range, "the counts stay in their ranges")
        self.reach(m, "full", (used == dut.slots) & (slot == 1))

    def _follow(self, m: Module, accepted, used, slot) -> None:
        """One word, chosen freely, from its transfer to its release."""
        dut = self.dut
        follow = self.free(m, 1, "follow")
        kept = Signal(len(dut.i.p.data), reset_less=True)
        place, before, inside = Signal.like(slot), Signal.like(used), Signal()
        with m.If(inside):
            m.d.sync += before.eq(before - dut.released)
            with m.If(dut.released > before):
                m.d.sync += inside.eq(0)
        with m.Elif(accepted & follow):
            m.d.sync += [
                kept.eq(dut.i.p.data),
                place.eq(slot),
                before.eq(used - dut.released),
                inside.eq(1),
            ]
        found = self.show(m, Array(dut.words)[place], "found")
        self.check(m, "kept", ~inside | (found == kept), "a word stays until it is released")
        # The youngest word stands just before the slot that comes next.
        place_of = slot + dut.slots - used + before
        turned = Mux(place_of >= dut.slots, place_of - dut.slots, place_of)
        fits = (before < used) & (place == turned)
        self.check(m, "older", ~inside | fits, "words leave in the order in which they came")
        self.reach(m, "long", inside & (before == 0) & (slot == place))

    def _header(self, m: Module, accepted, word) -> None:
        """The header and the last mark of a flit are those of its first word."""
        dut = self.dut
        pending, first = Signal(), Signal(len(dut.i.payload.as_value()), reset_less=True)
        with m.If(dut.arrived_taken):
            m.d.sync += pending.eq(0)
        with m.If(accepted & (word == 0)):
            m.d.sync += [pending.eq(1), first.eq(dut.i.payload)]
        view = word_layout(SHAPE)(first)
        same = (dut.arrived.header.as_value() == view.data[:24]) & (dut.arrived.last == view.last)
        self.check(m, "pending", dut.arrived_valid == pending, "every flit arrives once")
        self.check(m, "header", ~pending | same, "its header is that of its first word")


class MovedTogether(Harness):
    """The unit in place p, with e empty places before it, comes out in place p - e."""

    def __init__(self, *, places: int, unit_bits: int, first_levels: int):
        super().__init__()
        self.dut = Compactor(places=places, unit_bits=unit_bits, first_levels=first_levels)

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        places = range(dut.places)
        self.free_inputs(m, dut, but={"skipped"})
        garbage = [self.free(m, len(dut.skipped[k]), f"garbage{k}") for k in places]
        empty = Const(0)
        for k in places:
            m.d.comb += dut.skipped[k].eq(Mux(dut.filled[k], empty, garbage[k]))
            empty = empty + ~dut.filled[k]
        place = self.constant(m, places, "place")
        units = self.delayed(m, dut.units, dut.latency, "units")
        filled = self.delayed(m, dut.filled, dut.latency, "filled")
        skipped = self.delayed(m, dut.skipped, dut.latency, "skipped")
        full = self.cycle(m, dut.latency) == dut.latency
        target = Signal(range(dut.places))
        m.d.comb += target.eq(place - skipped.word_select(place, len(dut.skipped[0])))
        found = self.show(m, Array(dut.row)[target], "found")
        wanted = self.show(m, units.word_select(place, dut.unit_bits), "wanted")
        here = full & filled.bit_select(place, 1)
        self.check(m, "moved", ~here | (found == wanted), "every unit comes out, in order")
        self.reach(m, "far", here & (target == 0) & (place == dut.places - 1))


def _ring() -> Property:
    def overrun(m, receiver):
        m.d.comb += receiver.i.ready.eq(~receiver.arrived_valid)

    return Property(
        name="flit-receiver",
        sentence="a word stays in the ring until it is released; none is lost, none doubled",
        build=RingOfWords,
        depth=12,
        induction=1,
        mutants=(statement("a word is taken where there is no room", FlitReceiver, overrun),),
    )


def _compactor(**sizes) -> Property:
    def lose(m, compactor):
        m.d.sync += compactor.row[1][0].eq(0)

    return Property(
        name=f"compactor-{sizes['places']}",
        sentence="symbols move together without loss, doubling or change of order",
        build=lambda: MovedTogether(**sizes),
        depth=5,
        induction=3,
        mutants=(statement("one bit is lost", Compactor, lose),),
    )


PROPERTIES = (
    _ring(),
    _compactor(places=8, unit_bits=2, first_levels=2),
    _compactor(places=16, unit_bits=1, first_levels=2),
)
