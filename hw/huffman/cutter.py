"""Where a flit closes: which values of a row still belong to the open one."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import MAX_CHUNK_SYMBOLS


def placement_layout(shape: LinkShape, slot_bits: int) -> data.StructLayout:
    """What the cutter says of a row.

    index, code_bits, entries: values, code bits and entry points of the open flit before this row.
    taken, taken_bits: values of the row that join it, from the lowest place up, and their code
    bits. All others open the next flit.
    entry, entry_bits: whether a run ends in the row, and the row's code bits up to there.
    close: the open flit is complete with the values taken; slot, first, last: of that flit.
    """
    return data.StructLayout(
        {
            "index": range(shape.max_values + 1),
            "code_bits": range(shape.max_spent + 1),
            "entries": range(shape.max_entries + 1),
            "taken": range(shape.values_per_cycle + 1),
            "taken_bits": range(shape.row_bits + 1),
            "entry": 1,
            "entry_bits": range(shape.row_bits + 1),
            "close": 1,
            "slot": slot_bits,
            "first": 1,
            "last": 1,
        }
    )


@dataclass(frozen=True)
class _Row:
    """A row as far as it needs no state."""

    count: Signal
    last: Signal
    slot: Signal
    filled: Signal
    """A bit per place that holds a value."""
    total: Signal
    """Code and rest bits of the row."""
    costs: list[Signal]
    """Code and rest bits up to and with every place."""
    before: list[Signal]
    """Code bits before every place; the last is the whole row's."""
    reopened: list[Signal]
    """By the values that are taken: room in a flit that opens with all others."""


@dataclass(frozen=True)
class _OpenFlit:
    """What is kept of the open flit from one row to the next."""

    index: Signal
    in_run: Signal
    """Values since the last entry point; it may be a whole run, for an entry point is needed only
    when another value follows."""
    entries: Signal
    room: Signal
    """Bits left for code words and rest bytes. Negative in a flit that will go raw."""
    room_beyond: Signal
    """The same with one more entry point."""
    ended: Signal
    """The message ended with the last row."""
    first: Signal
    slot: Signal


class FlitCutter(wiring.Component):
    """Takes values into the open flit while they fit, coded or raw; the rest opens the next.

    A value belongs to the open flit if its coded form still fits, or if a raw flit would hold it
    anyway. So a flit that ends up with more values than a raw one holds is coded, any other raw,
    and neither needs a second look at the values.

    Latency 2 cycles, one row a cycle; it never waits. The first cycle does what needs no state, so
    that the loop from one row to the next is a comparison and a selection. At most one flit closes
    in a row, because a raw flit holds a whole row (`LinkShape` sees to it). The last flit of a
    message closes one row later, with no value of it: that row is the first of the next message,
    which closes nothing itself, or a gap.

    Members
    -------
    count: In, values of the row; 0 is a gap. last: In, the message ends with this row.
    slot: In, the message's. ends: In, prefix sums of the code lengths.
    placement: Out, see `placement_layout`.
    """

    latency = 2

    def __init__(self, shape: LinkShape, *, slot_bits: int):
        self.shape = shape
        places = shape.values_per_cycle
        super().__init__(
            {
                "count": In(range(places + 1)),
                "last": In(1),
                "slot": In(slot_bits),
                "ends": In(data.ArrayLayout(range(shape.row_bits + 1), places)),
                "placement": Out(placement_layout(shape, slot_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape, placement = self.shape, self.placement
        row = self._prepare(m)
        flit = self._open_flit()

        accepted = Signal(shape.values_per_cycle)
        m.d.comb += [
            accepted[place].eq(row.filled[place] & ~flit.ended & self._fits(row, flit, place))
            for place in range(shape.values_per_cycle)
        ]
        # accepted is 1 from the lowest place up, so its edge selects what belongs to the cut.
        edges = [
            inside & ~beyond
            for inside, beyond in zip([Const(1), *accepted], [*accepted, Const(0)], strict=True)
        ]
        close = Signal()
        m.d.comb += close.eq(flit.ended | (row.filled & ~accepted).any())
        self._advance(m, row, flit, close, edges)

        starts = [
            accepted[place] & (flit.in_run + place == shape.run_symbols)
            for place in range(shape.values_per_cycle)
        ]
        m.d.sync += [
            placement.index.eq(flit.index),
            placement.code_bits.eq(
                self._budgets()[flit.entries] - flit.room - flit.index * shape.rest_bits
            ),
            placement.entries.eq(flit.entries),
            placement.taken.eq(_picked(edges, [Const(taken) for taken in range(len(edges))])),
            placement.taken_bits.eq(_picked(edges, row.before)),
            placement.entry.eq(Cat(*starts).any()),
            placement.entry_bits.eq(_picked(starts, row.before[:-1])),
            placement.close.eq(close),
            placement.slot.eq(flit.slot),
            placement.first.eq(flit.first),
            placement.last.eq(flit.ended),
        ]
        return m

    def _budgets(self) -> Array:
        """What code words and rest bytes may take, by the number of entry points."""
        shape = self.shape
        return Array(
            shape.body_bits - 8 * shape.table_nbytes(entries)
            for entries in range(shape.max_entries + 2)
        )

    def _rooms(self) -> range:
        """What can be left of a payload; less than nothing in a flit that will go raw."""
        return range(-self.shape.max_spent, self.shape.payload_bits)

    def _table_step(self, entries: int) -> int:
        """Bits by which one more entry point lengthens the table."""
        return 8 * (self.shape.table_nbytes(entries + 1) - self.shape.table_nbytes(entries))

    def _prepare(self, m: Module) -> _Row:
        """What the row alone says, registered."""
        shape = self.shape
        places = shape.values_per_cycle
        costs = [self.ends[place] + (place + 1) * shape.rest_bits for place in range(places)]
        total = self.ends[places - 1] + self.count * shape.rest_bits

        def held(value: Value, name: str) -> Signal:
            register = Signal(Value.cast(value).shape(), name=name)
            m.d.sync += register.eq(value)
            return register

        before = [Const(0), *(self.ends[place] for place in range(places))]
        costs_before = [Const(0), *costs[:-1]]
        reopened = []
        for place, cost in enumerate(costs_before):
            room = Signal(self._rooms(), name=f"reopened{place}", init=shape.body_bits)
            m.d.sync += room.eq(shape.body_bits - (total - cost))
            reopened.append(room)
        return _Row(
            count=held(self.count, "row_count"),
            last=held(self.last, "row_last"),
            slot=held(self.slot, "row_slot"),
            filled=held(Cat(*(place < self.count for place in range(places))), "filled"),
            total=held(total, "total"),
            costs=[held(cost, f"cost{place}") for place, cost in enumerate(costs)],
            before=[held(bits, f"before{place}") for place, bits in enumerate(before)],
            reopened=reopened,
        )

    def _open_flit(self) -> _OpenFlit:
        shape = self.shape
        rooms = self._rooms()
        return _OpenFlit(
            index=Signal(range(shape.max_values + 1), name="index"),
            in_run=Signal(range(shape.run_symbols + 1), name="in_run"),
            entries=Signal(range(shape.max_entries + 1), name="entries"),
            room=Signal(rooms, name="room", init=shape.body_bits),
            room_beyond=Signal(
                rooms, name="room_beyond", init=shape.body_bits - self._table_step(0)
            ),
            ended=Signal(name="ended"),
            first=Signal(name="first", init=1),
            slot=Signal.like(self.slot, name="flit_slot"),
        )

    def _fits(self, row: _Row, flit: _OpenFlit, place: int) -> Value:
        """Whether the flit can hold the value at *place* too, coded or raw."""
        beyond = (flit.in_run + place)[self.shape.run_symbols.bit_length() - 1]
        cost = row.costs[place]
        coded = Mux(beyond, cost <= flit.room_beyond, cost <= flit.room)
        if self.shape.max_values == MAX_CHUNK_SYMBOLS:
            coded &= flit.index + place < MAX_CHUNK_SYMBOLS
        return coded | (flit.index + place < self.shape.raw_values)

    def _advance(
        self, m: Module, row: _Row, flit: _OpenFlit, close: Signal, edges: list[Value]
    ) -> None:
        """The open flit after this row: the old one with all of the row, or the next one."""
        shape = self.shape
        steps = Array(self._table_step(entries) for entries in range(shape.max_entries + 2))
        crossed = Signal()
        room = Signal.like(flit.room)
        m.d.comb += [
            crossed.eq(flit.in_run + row.count > shape.run_symbols),
            room.eq(Mux(crossed, flit.room_beyond, flit.room)),
        ]
        # A row that is taken whole closes nothing, so the last edge has no part in it.
        opened = _picked(edges[:-1], row.reopened)
        left_over = _picked(edges, [row.count - taken for taken in range(len(edges))])
        with m.If(close):
            m.d.sync += [
                flit.index.eq(left_over),
                flit.in_run.eq(left_over),
                flit.entries.eq(0),
                flit.room.eq(opened),
                flit.room_beyond.eq(opened - self._table_step(0)),
                flit.first.eq(flit.ended),
            ]
        with m.Else():
            m.d.sync += [
                flit.index.eq(flit.index + row.count),
                flit.in_run.eq(flit.in_run + row.count - Mux(crossed, shape.run_symbols, 0)),
                flit.entries.eq(flit.entries + crossed),
                flit.room.eq(room - row.total),
                flit.room_beyond.eq(room - (row.total + steps[flit.entries + crossed])),
            ]
        empty = (flit.index == 0) | flit.ended
        m.d.sync += flit.ended.eq(row.last & ((row.count != 0) | ~empty))
        with m.If(row.count != 0):
            m.d.sync += flit.slot.eq(row.slot)


def _picked(chosen: list[Value], values: list[Value]) -> Value:
    """The value that is chosen, by at most one bit; 0 where none is."""
    gated = [Mux(one, value, 0) for one, value in zip(chosen, values, strict=True)]
    while len(gated) > 1:
        pairs = [a | b for a, b in zip(gated[0::2], gated[1::2], strict=False)]
        gated = pairs + gated[len(pairs) * 2 :]
    return gated[0]
