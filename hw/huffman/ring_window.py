"""Neighbouring units of a ring, from any unit on."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.huffman.canonical import gathered


class RingWindow(wiring.Component):
    """Reads *window_bits* bits from unit *start* on, round the ring's end to its beginning.

    The ring is seen as rows of a power of two of units. Every column is read in one of two
    neighbouring rows, and what was read is rotated.

    Latency 1 cycle if *registered* (between the reading and the rotating), else 0.

    Members
    -------
    ring: In. start: In, a unit. window: Out.
    """

    def __init__(self, *, ring_bits: int, unit_bits: int, window_bits: int, registered: bool):
        self.unit_bits = unit_bits
        self.units = ring_bits // unit_bits
        self.columns = 1 << ceil_log2(-(-window_bits // unit_bits))
        self.registered = registered
        self.latency = int(registered)
        super().__init__(
            {
                "ring": In(ring_bits),
                "start": In(range(self.units)),
                "window": Out(window_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        columns = self.columns
        column_log2 = ceil_log2(columns)
        row, column = self.start[column_log2:], self.start[:column_log2]
        # A row more than the ring has, for windows that begin in the last one.
        rows = -(-self.units // columns) + 1
        at = Signal(rows)
        m.d.comb += at.eq(Cat(*(row == number for number in range(rows - 1)), 0))
        lanes = Signal(columns * self.unit_bits, reset_less=True)
        read = []
        for lane in range(columns):
            here = Signal(rows, name=f"rows{lane}")
            before = (lane < column) if column_log2 else 0
            m.d.comb += here.eq(Mux(before, at << 1, at))
            units = {(number * columns + lane) % self.units: [] for number in range(rows)}
            for number in range(rows):
                units[(number * columns + lane) % self.units].append(here[number])
            read.append(
                gathered(
                    [
                        (Cat(*selects).any(), self.ring.word_select(unit, self.unit_bits))
                        for unit, selects in units.items()
                    ],
                    self.unit_bits,
                )
            )
        shift = Signal(column_log2)
        if self.registered:
            m.d.sync += [lanes.eq(Cat(*read)), shift.eq(column)]
        else:
            m.d.comb += [lanes.eq(Cat(*read)), shift.eq(column)]
        units = [lanes.word_select(lane, self.unit_bits) for lane in range(columns)]
        for bit in range(column_log2):
            units = [
                Mux(shift[bit], units[(lane + (1 << bit)) % columns], unit)
                for lane, unit in enumerate(units)
            ]
        m.d.comb += self.window.eq(Cat(*units))
        return m
