"""Cuts runs out of received flits and writes them to the run memories of the lanes."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.canonical import pick
from hw.huffman.run_plan import (
    LANES_PER_FEEDER,
    RECEIVED_FLITS,
    STORED_FLITS,
    UNIT_BITS,
    WINDOW_BITS,
    WINDOW_WORDS,
    WORD_BITS,
    RunPlan,
)

CUTTING = 3
"""Cycles from a cut being asked for to its window."""


def cut_layout(plan: RunPlan) -> data.StructLayout:
    """One window that a feeder asks for.

    position: bit of the flit that it begins at. bits: what is left of the run with its head.
    first: the head goes in front, in place of the flit's bits. behind: more than a run may take
    has been cut already; this window is looked at, not written.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "slot": range(STORED_FLITS),
            "position": plan.position_bits,
            "bits": plan.position_bits,
            "head": plan.head_layout(),
            "first": 1,
            "lane": range(LANES_PER_FEEDER),
            "area": 1,
            "window": range(max(plan.area_windows, 2)),
            "behind": 1,
        }
    )


def placing_layout(plan: RunPlan) -> data.StructLayout:
    """Where the words of a window go. units: those of the window that belong to the run."""
    return data.StructLayout(
        {
            "valid": 1,
            "lane": range(LANES_PER_FEEDER),
            "area": 1,
            "window": range(max(plan.area_windows, 2)),
            "units": range(WINDOW_BITS // UNIT_BITS + 1),
            "end": 1,
            "behind": 1,
            "full": 1,
        }
    )


class WindowCutter(wiring.Component):
    """A window of a flit, at any bit, every cycle, with zeros behind the end of its run.

    **Latency**: `CUTTING` cycles from `cut` to the first word, the others follow one a cycle.

    Members
    -------
    cut: In, see `cut_layout`. flit: In, the flit of the cut one cycle before, as memory gives it.
    words: Out, word k of the window that was cut 3 + k cycles ago.
    placing: Out, of the window whose first word is there in the next cycle.
    stray, stray_slot: Out, bits are set behind what a run may take, in this flit.
    """

    def __init__(self, plan: RunPlan):
        self.plan = plan
        super().__init__(
            {
                "cut": In(cut_layout(plan)),
                "flit": In(plan.shape.payload_bits),
                "words": Out(data.ArrayLayout(WORD_BITS, WINDOW_WORDS)),
                "placing": Out(placing_layout(plan)),
                "stray": Out(1),
                "stray_slot": Out(range(STORED_FLITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan = self.plan
        read, near = Signal.like(self.cut), Signal.like(self.cut)
        fine_bits = 7
        bits: Value = self.flit
        # The bytes that can be in the window, halved in number with every bit of the position.
        for bit in reversed(range(fine_bits, plan.position_bits)):
            keep = WINDOW_BITS + (1 << bit)
            bits = Mux(read.position[bit], bits[1 << bit : keep + (1 << bit)], bits[:keep])
        coarse = Signal(WINDOW_BITS + (1 << fine_bits), reset_less=True)
        m.d.sync += [read.eq(self.cut), near.eq(read), coarse.eq(bits)]
        bits = coarse
        for bit in reversed(range(fine_bits)):
            keep = WINDOW_BITS + (1 << bit) - 1
            bits = Mux(near.position[bit], bits[1 << bit : keep + (1 << bit)], bits[:keep])
        over = near.bits >= WINDOW_BITS
        inside = Signal(WINDOW_BITS)
        m.d.comb += inside.eq(Mux(over, ~Const(0, WINDOW_BITS), _below(near.bits[:fine_bits])))
        masked = Signal(WINDOW_BITS)
        head = Mux(near.first, near.head.as_value(), bits[:UNIT_BITS] & inside[:UNIT_BITS])
        m.d.comb += masked.eq(Cat(head[:UNIT_BITS], (bits & inside)[UNIT_BITS:WINDOW_BITS]))
        window = Signal(WINDOW_BITS, reset_less=True)
        m.d.sync += window.eq(masked)
        self._place(m, near, over)
        self._skew(m, window)
        behind = Signal()
        m.d.sync += [behind.eq(near.valid & near.behind), self.stray_slot.eq(near.slot)]
        m.d.comb += self.stray.eq(behind & window.any())
        return m

    def _place(self, m: Module, near: Value, over: Value) -> None:
        rounded = near.bits[:7] + (UNIT_BITS - 1)
        most = WINDOW_BITS // UNIT_BITS
        m.d.comb += [
            self.placing.valid.eq(near.valid),
            self.placing.lane.eq(near.lane),
            self.placing.area.eq(near.area),
            self.placing.window.eq(near.window),
            self.placing.units.eq(Mux(over, most, rounded[4:])),
            self.placing.end.eq(near.bits <= WINDOW_BITS),
            self.placing.behind.eq(near.behind),
            self.placing.full.eq(near.window == self.plan.area_windows - 1),
        ]

    def _skew(self, m: Module, window: Value) -> None:
        """Word k goes out k cycles after word 0."""
        for index in range(WINDOW_WORDS):
            word = window.word_select(index, WORD_BITS)
            for cycle in range(index):
                held = Signal(WORD_BITS, name=f"word{index}_{cycle}", reset_less=True)
                m.d.sync += held.eq(word)
                word = held
            m.d.comb += self.words[index].eq(word)


class RunFeeder(wiring.Component):
    """Serves four lanes: asks the cutter for a run's windows, one in four cycles, and writes them.

    Members
    -------
    turn: In, counts cycles modulo 4; it is this feeder's at *place*.
    run: In, the next run, see `RunPlan.run_layout`; take: In, this feeder has it.
    free: Out, it could take one, for *lane* and *bay*. wants, bays: In, of the four lanes.
    assigned, loaded: Out, a bit per lane.
    cut: Out. words, placing: In, as the cutter gives them.
    write: Out, a bit per lane pair; address, word: Out, for the run memories.
    using: Out, a bit per received flit: it is still being cut.
    """

    def __init__(self, plan: RunPlan, *, place: int):
        self.plan = plan
        self.place = place
        lanes = LANES_PER_FEEDER
        super().__init__(
            {
                "turn": In(range(WINDOW_WORDS)),
                "run": In(plan.run_layout()),
                "take": In(1),
                "free": Out(1),
                "lane": Out(range(lanes)),
                "bay": Out(1),
                "wants": In(lanes),
                "bays": In(lanes),
                "assigned": Out(lanes),
                "loaded": Out(lanes),
                "cut": Out(cut_layout(plan)),
                "words": In(data.ArrayLayout(WORD_BITS, WINDOW_WORDS)),
                "placing": In(placing_layout(plan)),
                "write": Out(lanes // 2),
                "address": Out(range(4 * plan.area_words)),
                "word": Out(plan.word_layout()),
                "using": Out(RECEIVED_FLITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._offer(m)
        self._cut(m)
        self._write(m)
        return m

    def _offer(self, m: Module) -> None:
        """Name a lane that wants a run."""
        lane = Signal.like(self.lane)
        for index in reversed(range(LANES_PER_FEEDER)):
            with m.If(self.wants[index]):
                m.d.comb += lane.eq(index)
        m.d.comb += self.assigned.eq(self.take << self.lane)
        with m.If(self.take | self.cut.valid):
            m.d.sync += self.free.eq(0)
        with m.Else():
            m.d.sync += [
                self.free.eq(self.wants.any()),
                self.lane.eq(lane),
                self.bay.eq(self.bays.bit_select(lane, 1)),
            ]

    def _cut(self, m: Module) -> None:
        cut = self.cut
        with m.If(self.turn == self.place):
            m.d.sync += [
                cut.position.eq(cut.position + WINDOW_BITS),
                cut.bits.eq(cut.bits - WINDOW_BITS),
                cut.first.eq(0),
                cut.window.eq(cut.window + 1),
            ]
            with m.If(cut.window == self.plan.area_windows - 1):
                m.d.sync += cut.behind.eq(1)
            with m.If(cut.bits <= WINDOW_BITS):
                m.d.sync += cut.valid.eq(0)
        with m.If(self.take):
            m.d.sync += [
                cut.valid.eq(1),
                cut.slot.eq(self.run.slot),
                cut.position.eq(self.run.position),
                cut.bits.eq(self.run.bits),
                cut.head.eq(self.run.head),
                cut.first.eq(1),
                cut.lane.eq(self.lane),
                cut.area.eq(self.bay),
                cut.window.eq(0),
                cut.behind.eq(0),
            ]
        for flit in range(RECEIVED_FLITS):
            here = cut.slot[: (RECEIVED_FLITS - 1).bit_length()] == flit
            m.d.comb += self.using[flit].eq(cut.valid & here)

    def _write(self, m: Module) -> None:
        placing = Signal.like(self.placing)
        # The words of a window go out in the four cycles from here.
        with m.If(self.turn == (self.place + CUTTING - 1) % WINDOW_WORDS):
            m.d.sync += placing.eq(self.placing)
        index = Signal.like(self.turn)
        m.d.comb += index.eq(self.turn - (self.place + CUTTING))
        inside, low_only = Signal(), Signal()
        m.d.comb += [
            low_only.eq(placing.units == Cat(Const(1, 1), index)),
            inside.eq(placing.units > Cat(Const(0, 1), index)),
            self.word.bits.eq(pick(list(self.words), index)),
            self.word.single.eq(low_only & placing.end),
            self.word.end.eq(
                Mux(
                    placing.end,
                    low_only | (placing.units == Cat(Const(0, 1), index + 1)),
                    placing.full & (index == WINDOW_WORDS - 1),
                )
            ),
            self.address.eq(
                Cat(
                    index,
                    placing.window[: (self.plan.area_windows - 1).bit_length()],
                    placing.area,
                    placing.lane[0],
                )
            ),
        ]
        writing = placing.valid & inside & ~placing.behind
        for pair in range(LANES_PER_FEEDER // 2):
            m.d.comb += self.write[pair].eq(writing & (placing.lane[1:] == pair))
        # Words are read slower than they are written, so the rest of the last window is in time.
        with m.If(placing.valid & placing.end & (index == 0)):
            m.d.comb += self.loaded.eq(1 << placing.lane)


def _below(number: Value) -> Value:
    """As many ones as *number* says, from the bottom, by doubling."""
    ones: Value = Const(0, 0)
    for bit in range(len(number)):
        # 2**bit - 1 places so far: with this bit set they stand behind as many ones.
        high = number[bit]
        ones = Cat(ones | high.replicate(len(ones)), high, ones & high.replicate(len(ones)))
    return ones
