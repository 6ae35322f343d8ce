"""A lane of the pool: decodes one run after the other, a value a cycle."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.canonical import BitRuns, CanonicalCode, gathered
from hw.huffman.run_plan import BAYS, UNIT_BITS, RunPlan
from linksim.codecs import Codebook

PREFETCH = 32
"""A lane asks for its next run when it has this many values to go."""


def lane_output_layout(plan: RunPlan) -> data.StructLayout:
    """A decoded symbol, without the bias. part: how often its run has been around all banks."""
    return data.StructLayout(
        {"valid": 1, "bay": 1, "part": range(max(plan.parts, 2)), "symbol": plan.shape.symbol_bits}
    )


class DecoderLane(wiring.Component):
    """Reads runs from its two areas of a run memory, in turn, and checks them.

    Once started, a run gives a value every cycle to its end. Between two runs is one cycle; or two,
    where long code words left no time to read ahead; or more, after the last run of a flit, where
    words are left to be checked. Values appear 2 cycles after
    their step. A broken run ends in time as well.

    Members
    -------
    beat: In, counts cycles modulo the number of lanes.
    slot: In, a word may be asked for; every other cycle.
    ask: Out, area, index: Out: this word of the run memory; word: In, the cycle after, see
    `RunPlan.word_layout`.
    wants: Out, a run may be assigned. bay: Out, area and bay that the next one assigned goes to.
    assigned: In. loaded: In, all words of the assigned run will be there in time.
    done: Out, a bit per bay: all values of its run have been stepped over. broken: Out, a bit per
    bay, then valid. started: Out, by bay, the beat before its first step. taken: In, the bay is
    free again.
    o: Out, see `lane_output_layout`.
    """

    def __init__(self, codebooks: Sequence[Codebook], plan: RunPlan):
        self.plan = plan
        self.codes = [CanonicalCode(book) for book in codebooks]
        self.keep = 2 * plan.shape.max_length
        """With fewer bits than these the window takes a unit."""
        super().__init__(
            {
                "beat": In(plan.lane_bits),
                "slot": In(1),
                "ask": Out(1),
                "area": Out(1),
                "index": Out(range(plan.area_words)),
                "word": In(plan.word_layout()),
                "wants": Out(1),
                "bay": Out(1),
                "assigned": In(1),
                "loaded": In(1),
                "done": Out(BAYS),
                "broken": Out(BAYS),
                "started": Out(data.ArrayLayout(plan.lane_bits, BAYS)),
                "taken": In(BAYS),
                "o": Out(lane_output_layout(plan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._declare()
        self._fetch(m)
        hits, none = self._lengths(m)
        self._window(m, hits)
        self._account(m, none)
        self._run(m)
        self._request(m)
        self._look_up(m, hits)
        return m

    def _declare(self) -> None:
        plan = self.plan
        self.busy, self.closing, self.tail = Signal(), Signal(), Signal(init=1)
        self.head = Signal(plan.head_layout(), reset_less=True)
        self.part = Signal(range(max(plan.parts, 2)), reset_less=True)
        self.working = Signal()
        """Bay of the run in work or to be started next."""
        self.start, self.refill, self.flush = Signal(), Signal(), Signal()
        # Two words on their way from the run memory to the window.
        self.near = Signal(plan.word_layout(), reset_less=True)
        self.near_valid, self.near_odd = Signal(), Signal()
        self.far = Signal(plan.word_layout(), reset_less=True)
        self.far_valid, self.asked = Signal(), Signal()
        self.full = Signal(BAYS)
        """Areas with words that have not been read."""
        self.window = Signal(self.keep + UNIT_BITS, reset_less=True)
        self.level = Signal(range(self.keep + UNIT_BITS), reset_less=True)
        """Bits of the run in the window."""
        self.drained = Signal()
        self.failed, self.slipped = Signal(reset_less=True), Signal()

    def _fetch(self, m: Module) -> None:
        """Words of the run memory into *far* and *near*."""
        emptied, move = Signal(), Signal()
        single_out = self.near.end & self.near.single
        m.d.comb += [
            emptied.eq(self.start | self.flush | (self.refill & (self.near_odd | single_out))),
            move.eq(self.far_valid & (~self.near_valid | emptied)),
            self.ask.eq(self.slot & self.full.bit_select(self.area, 1) & (~self.far_valid | move)),
        ]
        m.d.sync += self.asked.eq(self.ask)
        with m.If(self.refill):
            m.d.sync += self.near_odd.eq(1)
        with m.If(emptied):
            m.d.sync += [self.near_valid.eq(0), self.tail.eq(self.near.end)]
        with m.If(move):
            m.d.sync += [self.near.eq(self.far), self.near_valid.eq(1), self.near_odd.eq(0)]
            m.d.sync += self.far_valid.eq(0)
        with m.If(self.asked):
            with m.If(~self.near_valid | emptied):
                m.d.sync += [self.near.eq(self.word), self.near_valid.eq(1), self.near_odd.eq(0)]
            with m.Else():
                m.d.sync += [self.far.eq(self.word), self.far_valid.eq(1)]
            m.d.sync += self.index.eq(Mux(self.word.end, 0, self.index + 1))
            m.d.sync += self.area.eq(self.area ^ self.word.end)

    def _lengths(self, m: Module) -> tuple[dict[int, Value], Value]:
        """By length, whether the window begins with such a code word; and whether with none."""
        bits = Signal(self.plan.shape.max_length)
        m.d.comb += bits.eq(self.window)
        raw = self.head.book == 0
        hits: dict[int, Value] = {self.plan.shape.symbol_bits: raw}
        none: Value = Const(0)
        runs = BitRuns(m, bits, "ones")
        for slot, code in enumerate(self.codes, start=1):
            chosen = Signal(name=f"book{slot}")
            m.d.comb += chosen.eq(self.head.book == slot)
            found, outside = code.at(runs, 0)
            for length, hit in found.items():
                hits[length] = hits.get(length, Const(0)) | (hit & chosen)
            none = none | (outside & chosen)
        named = {}
        for length, hit in hits.items():
            named[length] = Signal(name=f"length{length}")
            m.d.comb += named[length].eq(hit)
        return named, none

    def _window(self, m: Module, hits: dict[int, Value]) -> None:
        """A code word out at the bottom, a unit in behind the bits that are there."""
        unit, filled = Signal(UNIT_BITS), Signal.like(self.window)
        m.d.comb += [
            self.refill.eq(self.busy & self.near_valid & ~self.tail & (self.level < self.keep)),
            unit.eq(
                self.near.bits.word_select(self.near_odd, UNIT_BITS)
                & self.refill.replicate(UNIT_BITS)
            ),
            filled.eq(
                (self.window & self.busy.replicate(len(self.window)))
                | (unit << self.level[: (self.keep - 1).bit_length()])
            ),
        ]
        shifted = gathered([(hit, filled[n:]) for n, hit in hits.items()], len(filled))
        first = self.near.bits[UNIT_BITS:] & self.start.replicate(UNIT_BITS)
        m.d.sync += self.window.eq(shifted | first)
        length = gathered(
            [(hit, Const(n, range(self.plan.shape.max_length + 1))) for n, hit in hits.items()], 1
        )
        before, after = Signal.like(self.level), Signal(len(self.level) + 1)
        only_head = self.near.end & self.near.single
        m.d.comb += [
            before.eq(self.level + Cat(Const(0, 4), self.refill)),
            after.eq(before - length),
        ]
        m.d.sync += [
            self.level.eq(Mux(self.start, Mux(only_head, 0, UNIT_BITS), after)),
            self.drained.eq(after[-1]),
        ]

    def _account(self, m: Module, none: Value) -> None:
        """Does the run break a rule? Known in the cycles behind its last step."""
        head, near = self.head, self.near
        m.d.sync += self.slipped.eq(self.busy & none)
        was_busy, slipped, left_over, broken = Signal(), Signal(), Signal(), Signal()
        m.d.sync += was_busy.eq(self.busy)
        units_left = near.bits & Cat((~self.near_odd).replicate(UNIT_BITS), ~Const(0, UNIT_BITS))
        exact = Signal()
        m.d.comb += [
            slipped.eq(self.slipped | (was_busy & self.drained)),
            # Bits behind the last value: none in a run that others follow, else only zeros.
            exact.eq(Mux(head.last, self.level >= head.unused, self.level == head.unused)),
            left_over.eq(was_busy & Mux(head.last, self.window.any(), ~self.tail)),
            broken.eq(
                self.failed
                | slipped
                | left_over
                | (was_busy & self.tail & ~exact)
                | (self.flush & units_left.any())
            ),
        ]
        m.d.sync += self.failed.eq(~self.start & (self.failed | slipped))
        with m.If(self.closing & ~self.start):
            m.d.sync += self.failed.eq(broken)
        m.d.sync += self.done.eq(self.done & ~self.taken)
        with m.If(self.closing & self.tail):
            for bay in range(BAYS):
                with m.If(self.working == bay):
                    m.d.sync += [self.done[bay].eq(1), self.broken[bay].eq(broken)]

    def _run(self, m: Module) -> None:
        """From one run to the next."""
        following = Signal()
        free = ~self.done.bit_select(following, 1)
        whole = self.near_valid & (self.far_valid | self.near.end)
        m.d.comb += [
            self.flush.eq(self.closing & ~self.tail & self.near_valid),
            following.eq(self.working ^ self.closing),
            self.start.eq(~self.busy & self.tail & whole & free),
        ]
        with m.If(self.closing & self.tail):
            m.d.sync += [self.closing.eq(0), self.working.eq(~self.working)]
        with m.If(self.busy):
            m.d.sync += self.head.left.eq(self.head.left - 1)
            with m.If(self.head.left == 0):
                m.d.sync += [self.busy.eq(0), self.closing.eq(1)]
        begun = Signal(self.plan.lane_bits)
        m.d.comb += begun.eq(Mux(self.working, self.started[1], self.started[0]))
        if self.plan.parts > 1:
            with m.If(self.beat == begun):
                m.d.sync += self.part.eq(self.part + 1)
        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), self.part.eq(0)]
            m.d.sync += self.head.eq(self.near.bits[: self.plan.head_bits])
            for bay in range(BAYS):
                with m.If(following == bay):
                    m.d.sync += self.started[bay].eq(self.beat)

    def _request(self, m: Module) -> None:
        """Ask for the next run, and keep account of the areas."""
        # The area of the next run is free: the run in work has begun, so that before it is read.
        waiting = Signal()
        soon = ~self.busy | (self.head.left < PREFETCH)
        m.d.comb += self.wants.eq(soon & ~waiting)
        with m.If(self.asked & self.word.end):
            m.d.sync += self.full.eq(self.full & ~Cat(~self.area, self.area))
        with m.If(self.assigned):
            m.d.sync += [waiting.eq(1), self.bay.eq(~self.bay)]
        with m.If(self.start):
            m.d.sync += waiting.eq(0)
        with m.If(self.loaded):
            # The bay has turned to the other one since.
            m.d.sync += self.full.bit_select(~self.bay, 1).eq(1)

    def _look_up(self, m: Module, hits: dict[int, Value]) -> None:
        """The symbol, off the loop: registered window, then registered symbol."""
        symbol_bits = self.plan.shape.symbol_bits
        window = Signal(self.plan.shape.max_length, reset_less=True)
        book = Signal(self.plan.book_bits, reset_less=True)
        known = {}
        for length, hit in hits.items():
            known[length] = Signal(name=f"known{length}", reset_less=True)
            m.d.sync += known[length].eq(hit)
        valid = Signal()
        bay, part = Signal(reset_less=True), Signal.like(self.part, reset_less=True)
        m.d.sync += [
            window.eq(self.window),
            book.eq(self.head.book),
            valid.eq(self.busy),
            bay.eq(self.working),
            part.eq(self.part),
            self.o.valid.eq(valid),
            self.o.bay.eq(bay),
            self.o.part.eq(part),
        ]
        found = [(book == 0, window[:symbol_bits])]
        for slot, code in enumerate(self.codes, start=1):
            found.append((book == slot, code.symbol(window, known, symbol_bits)))
        m.d.sync += self.o.symbol.eq(gathered(found, symbol_bits))
