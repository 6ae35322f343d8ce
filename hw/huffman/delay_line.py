"""Rows wait here until it is known how their flit ends."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

REGISTERS_UP_TO = 64
"""Longest delay that is made of registers; longer ones are a memory."""


class DelayLine(wiring.Component):
    """What entered *depth* cycles ago.

    Members
    -------
    i: In. o: Out.
    """

    def __init__(self, *, width: int, depth: int):
        self.width = width
        self.depth = depth
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        if self.depth <= REGISTERS_UP_TO:
            value = self.i
            for cycle in range(self.depth):
                held = Signal(self.width, name=f"held{cycle}", reset_less=True)
                m.d.sync += held.eq(value)
                value = held
            m.d.comb += self.o.eq(value)
            return m
        # One place less than the delay: the read port's register is the last.
        m.submodules.rows = rows = memory.Memory(shape=self.width, depth=self.depth - 1, init=[])
        write, read = rows.write_port(), rows.read_port()
        place = Signal(range(self.depth - 1))
        m.d.sync += place.eq(Mux(place == self.depth - 2, 0, place + 1))
        m.d.comb += [
            write.addr.eq(place),
            write.data.eq(self.i),
            write.en.eq(1),
            read.addr.eq(place),
            self.o.eq(read.data),
        ]
        return m
