"""The rest bytes that belong to a row, and the words that nobody needs any more."""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.canonical import pick
from hw.huffman.flit_plan import plan_layout
from hw.huffman.ring_window import RingWindow
from hw.huffman.shape import LinkShape


class RestReader(wiring.Component):
    """Follows the rest bytes of a flit through the ring.

    Latency 1 cycle from *count* to the row's bytes. Words are released one a cycle from the
    cycle after the rest bytes of rows to come stand behind them, and all that are left with the
    flit's last row.

    Members
    -------
    ring: In, all words.
    begin: In, the next row is the first of a flit with *plan*. plan: In, see `plan_layout`.
    count: In, values of the row; 0 in a gap. found: In, the same, but in a flit's last row with
    values it may be anything. last: In, it is the flit's last row.
    read: In, all code words of the flit were read from the ring.
    rest: Out, one unit per place. released: Out, so many words are not needed any more.
    """

    latency = 1

    def __init__(self, shape: LinkShape, *, books: int):
        self.shape = shape
        self.ring_nbytes = shape.word_nbytes * (shape.words_per_flit + 1)
        super().__init__(
            {
                "ring": In(8 * self.ring_nbytes),
                "begin": In(1),
                "plan": In(plan_layout(shape, books)),
                "count": In(range(shape.values_per_cycle + 1)),
                "found": In(range(shape.values_per_cycle + 1)),
                "last": In(1),
                "read": In(1),
                "rest": Out(shape.rest_bits * shape.values_per_cycle),
                "released": Out(range(shape.words_per_flit + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape, words = self.shape, self.shape.words_per_flit
        busy = Signal()
        passed = Signal(range(words + 1))
        offset = Signal(range(shape.payload_nbytes + shape.values_per_cycle))
        ends = [Const((k + 1) * shape.word_nbytes) for k in range(words)]
        advance, counted = Signal(), Signal.like(self.count)
        m.d.comb += [
            advance.eq(busy & self.read & (passed != words) & (offset >= pick(ends, passed))),
            self.released.eq(Mux(self.last, words - passed, advance)),
        ]
        m.d.sync += [
            busy.eq(self.begin | (busy & ~self.last)),
            passed.eq(Mux(self.begin, 0, passed + advance)),
        ]
        with m.If(self.begin):
            m.d.sync += offset.eq(self.plan.body_nbytes)
        if shape.rest_bits:
            with m.Else():
                m.d.sync += offset.eq(offset + counted)
            # Words may be released a cycle late: the count is known last.
            m.d.sync += counted.eq(Mux(self.begin, 0, self.count))
            self._read(m)
        return m

    def _read(self, m: Module) -> None:
        shape = self.shape
        m.submodules.ring_window = window = RingWindow(
            ring_bits=8 * self.ring_nbytes,
            unit_bits=8,
            window_bits=len(self.rest),
            registered=True,
        )
        begins = [Const(k * shape.word_nbytes) for k in range(shape.words_per_flit + 1)]
        onward = Signal(range(2 * self.ring_nbytes))
        wrapped = Signal.like(window.start)
        start = Signal.like(window.start)
        m.d.comb += [
            onward.eq(
                Mux(
                    self.begin,
                    pick(begins, self.plan.word) + self.plan.body_nbytes,
                    # Sooner known than the count, and as good: no row follows where they differ.
                    start + self.found,
                )
            ),
            wrapped.eq(Mux(onward >= self.ring_nbytes, onward - self.ring_nbytes, onward)),
            window.ring.eq(self.ring),
            window.start.eq(start),
            self.rest.eq(window.window),
        ]
        m.d.sync += start.eq(wrapped)
