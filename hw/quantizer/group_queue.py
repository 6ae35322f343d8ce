"""Groups that are done and not yet taken."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out


class GroupQueue(wiring.Component):
    """A queue that cannot refuse: who fills it counts its room.

    A group that finds the queue empty is offered in the cycle in which it arrives, and stored only
    if it is not taken in that. The store is a memory with one write port and one read port that
    answers in the same cycle.

    Parameters
    ----------
    layout: of a group.
    depth: groups that it holds.

    Members
    -------
    arriving: In, a group arrives. group: In, that.
    o: Out, stream of groups.
    """

    def __init__(self, *, layout: data.StructLayout, depth: int):
        if depth < 1:
            raise ValueError(f"depth is {depth}: expected at least 1")
        self.layout, self.depth = layout, depth
        super().__init__(
            {"arriving": In(1), "group": In(layout), "o": Out(stream.Signature(layout))}
        )

    def elaborate(self, platform):
        m = Module()
        width = self.layout.size
        m.submodules.store = store = memory.Memory(shape=width, depth=self.depth, init=[])
        write, read = store.write_port(), store.read_port(domain="comb")
        tail, head = Signal(range(self.depth)), Signal(range(self.depth))
        held = Signal(range(self.depth + 1))
        # A register of its own: it decides what is offered.
        empty = Signal(init=1)
        stored, removed, left = Signal(), Signal(), Signal.like(held)
        m.d.comb += [
            self.o.valid.eq(self.arriving | ~empty),
            self.o.payload.as_value().eq(Mux(empty, self.group.as_value(), read.data)),
            stored.eq(self.arriving & ~(empty & self.o.ready)),
            removed.eq(~empty & self.o.ready),
            write.en.eq(stored),
            write.addr.eq(tail),
            write.data.eq(self.group),
            read.addr.eq(head),
            left.eq(held + stored - removed),
        ]
        m.d.sync += [held.eq(left), empty.eq(left == 0)]
        for pointer, moves in ((tail, stored), (head, removed)):
            with m.If(moves):
                m.d.sync += pointer.eq(Mux(pointer == self.depth - 1, 0, pointer + 1))
        return m
