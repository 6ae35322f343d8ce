"""Where flits begin and end, from the lengths of the code words alone."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.huffman.arithmetic import below, carry_saved, picked, prefix_levels, registered
from hw.huffman.encoder_timing import cost_registers, cutter_latency
from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import MAX_CHUNK_SYMBOLS

_PICKED_AT_ONCE = 8
"""Of so many places one is selected in the cycle of the comparison, of all a cycle later."""


def cut_layout(shape: LinkShape) -> data.StructLayout:
    """How a row is cut.

    ended: a flit, the last of its message, closed before this row. cut: a flit closed within it.
    place: the values from here on open the next flit, if the row is cut; otherwise 0.
    """
    return data.StructLayout({"ended": 1, "cut": 1, "place": range(shape.values_per_cycle)})


@dataclass(frozen=True)
class _Row:
    """A row at the comparison."""

    count: Signal
    first: Signal
    ends: Signal
    sums: list[Signal]
    """Bits, code and rest, up to and with every place."""

    @property
    def total(self) -> Signal:
        return self.sums[-1]


@dataclass(frozen=True)
class _OpenFlit:
    """What is kept of the open flit from one row to the next."""

    before: Signal
    """One bit per place: in the row the flit opened in, places before its first value."""
    rows: Signal
    """Rows since then."""
    room: Signal
    """Bits left for code words, rest bytes and table."""
    low: Signal
    """Bits left for code words and rest bytes as seen from places in `before`."""
    high: Signal
    """The same from all others: where an entry point comes due, it is due between the two."""


class FlitCutter(wiring.Component):
    """Takes values into the open flit while they fit, coded or raw; the next opens another flit.

    A value belongs to the open flit if its coded form still fits, or if a raw flit would hold it
    anyway. So a flit that ends up with more values than a raw one holds is coded, any other raw.
    All rows of a message are full, so an entry point comes due at the same place of a row as the
    flit's first value, every *run_symbols* / *values_per_cycle* rows, and so does the end of what
    a raw flit holds: masks of places take the part of arithmetic.

    Latency *latency* cycles, one row a cycle; it never waits. The loop from one row to the next is
    a comparison and a selection; where two rows cannot both be cut (`LinkShape.closing_distance`
    of 2 or more) the selection ends and the selected sum is added a cycle later.

    Members
    -------
    count, first, ends: In, values of the row; whether a message begins and ends with it.
    costs: In, code and rest bits of every value; anything in places without value.
    row: Out, see `cut_layout`. opens: Out, a flit opens in the row, at the place of the cut or 0.
    known: Out, a flit is known to end in the row, or in the row before where two end. end: Out, the
    place behind its last value, counted from place 0 of the row it opened in. start: Out, that
    row's number.
    number: Out, the row's number, from 0 and modulo a power of two above `LinkShape.flit_rows`.
    """

    def __init__(self, shape: LinkShape):
        self.shape = shape
        places = shape.values_per_cycle
        self.registered_after = cost_registers(places)
        self.latency = cutter_latency(places)
        self.number_bits = bits_for(shape.flit_rows)
        super().__init__(
            {
                "count": In(range(places + 1)),
                "first": In(1),
                "ends": In(1),
                "costs": In(
                    data.ArrayLayout(range(shape.max_length + shape.rest_bits + 1), places)
                ),
                "row": Out(cut_layout(shape)),
                "opens": Out(1),
                "known": Out(1),
                "end": Out(range(places * (shape.flit_rows + 1))),
                "start": Out(self.number_bits),
                "number": Out(self.number_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        row, ended = self._prepared(m)
        flit = self._open_flit()
        forced, accepted = Signal(shape.values_per_cycle), Signal(shape.values_per_cycle)
        cut, opens = Signal(), Signal()
        m.d.comb += [
            forced.eq(self._forced(flit)),
            accepted.eq(self._accepted(row, flit, forced)),
            cut.eq(self._cuts(row, flit, forced)),
            opens.eq(cut | row.first),
        ]
        edges = [
            inside & ~beyond
            for inside, beyond in zip(Cat(Const(1, 1), accepted), accepted, strict=False)
        ]
        place = Signal.like(self.row.place)
        m.d.comb += place.eq(picked(edges, [Const(at) for at in range(len(edges))]))
        sums = [Const(0), *row.sums[:-1]]
        spent = [
            picked(edges[at : at + _PICKED_AT_ONCE], sums[at : at + _PICKED_AT_ONCE])
            for at in range(0, len(edges), _PICKED_AT_ONCE)
        ]
        self._advance(m, row, flit, opens, cut, accepted, spent)
        m.d.sync += [
            self.row.ended.eq(ended),
            self.row.cut.eq(cut),
            self.row.place.eq(Mux(cut, place, 0)),
            self.opens.eq(opens),
        ]
        self._report(m, row, flit, cut, place)
        return m

    def _prepared(self, m: Module) -> tuple[_Row, Signal]:
        """The row with its prefix sums; whether the row before ended a message."""
        # Then the sum of all is that of the values there are.
        filled = Signal(self.shape.values_per_cycle)
        m.d.comb += filled.eq(below(self.count, len(filled)))
        sums: list = []
        for place, cost in enumerate(self.costs):
            spent = Signal.like(cost, name=f"cost{place}")
            m.d.comb += spent.eq(Mux(filled[place], cost, 0))
            sums.append(spent)
        level = 0
        for until in self.registered_after:
            sums = prefix_levels(sums, level, until)
            level = until
            sums = [registered(m, value, f"sum{level}_{k}") for k, value in enumerate(sums)]
        count, first, ends = self.count, self.first, self.ends
        for cycle in range(self.latency - 1):
            count = registered(m, count, f"count{cycle}", reset_less=False)
            first = registered(m, first, f"first{cycle}", reset_less=False)
            ends = registered(m, ends, f"ends{cycle}", reset_less=False)
        ended = registered(m, ends, "ended", reset_less=False)
        return _Row(count, first, ends, sums), ended

    def _open_flit(self) -> _OpenFlit:
        shape = self.shape
        room = signed(bits_for(shape.max_spent + shape.payload_bits) + 1)
        return _OpenFlit(
            before=Signal(shape.values_per_cycle, name="before"),
            rows=Signal(range(shape.flit_rows + 2), name="rows"),
            room=Signal(room, name="room"),
            low=Signal(room, name="low"),
            high=Signal(room, name="high"),
        )

    def _accepted(self, row: _Row, flit: _OpenFlit, forced: Signal) -> Value:
        """A bit per place: its value joins the open flit. Set from the lowest place up."""
        beyond = ~flit.before
        full, full_here = self._full(flit)
        bits = []
        for place, cost in enumerate(row.sums):
            fits = Mux(beyond[place], _at_most(cost, flit.high), _at_most(cost, flit.low))
            fits &= ~(full | (full_here & beyond[place]))
            bits.append(row.first | forced[place] | fits)
        return Cat(*bits)

    def _cuts(self, row: _Row, flit: _OpenFlit, forced: Signal) -> Value:
        """Whether the last value of the row does not join: decided by the sum of all alone."""
        last = Cat(*(row.count == place + 1 for place in range(self.shape.values_per_cycle)))
        beyond = ~(last & flit.before).any()
        full, full_here = self._full(flit)
        fits = Mux(beyond, _at_most(row.total, flit.high), _at_most(row.total, flit.low))
        fits &= ~(full | (full_here & beyond))
        return (row.count != 0) & ~row.first & ~(last & forced).any() & ~fits

    def _full(self, flit: _OpenFlit) -> tuple[Value, Value]:
        """Whether the flit takes no more values however short; the same of places not `before`."""
        if self.shape.max_values != MAX_CHUNK_SYMBOLS:
            return Const(0, 1), Const(0, 1)
        rows = MAX_CHUNK_SYMBOLS // self.shape.values_per_cycle
        return flit.rows > rows, flit.rows == rows

    def _forced(self, flit: _OpenFlit) -> Value:
        """A bit per place: a raw flit would hold its value."""
        width = self.shape.values_per_cycle
        rows, more = divmod(self.shape.raw_values, width)
        # The end of what a raw flit holds is raw_values behind the flit's first value.
        moved = Cat(Const((1 << more) - 1, more), flit.before)
        return (
            (flit.rows < rows).replicate(width)
            | ((flit.rows == rows).replicate(width) & moved[:width])
            | ((flit.rows == rows + 1).replicate(width) & moved[width:])
        )

    def _advance(
        self,
        m: Module,
        row: _Row,
        flit: _OpenFlit,
        opens: Signal,
        cut: Signal,
        accepted: Signal,
        spent: list[Value],
    ) -> None:
        """The open flit as the next row finds it; one of *spent* is what a cut row spends on it."""
        shape = self.shape
        period = shape.run_symbols // shape.values_per_cycle
        with m.If(opens):
            m.d.sync += flit.before.eq(Mux(row.first, 0, accepted))
        m.d.sync += flit.rows.eq(Mux(opens, 1, flit.rows + 1))

        # Rows of the run and entry points due, as the next row has them.
        in_run = Signal(range(period), name="in_run")
        entries = Signal(range(shape.max_entries + 3), name="entries")
        due = in_run == period - 1
        with m.If(opens):
            m.d.sync += [in_run.eq(1 % period), entries.eq(1 // period)]
        with m.Else():
            m.d.sync += [in_run.eq(Mux(due, 0, in_run + 1)), entries.eq(entries + due)]
        tables = Array(8 * shape.table_nbytes(number) for number in range(shape.max_entries + 3))
        low_table, high_table = tables[entries], tables[entries + due]

        opened = shape.body_bits - row.total
        if shape.closing_distance == 1:
            room = flit.room - row.total
            fresh = opened + Mux(cut, _any_of(spent), 0)
            step = 8 * shape.table_nbytes(1 // period)
            m.d.sync += [
                flit.room.eq(Mux(opens, fresh, room)),
                flit.low.eq(Mux(opens, fresh, room - low_table)),
                flit.high.eq(Mux(opens, fresh - step, room - high_table)),
            ]
            return
        # The row after one that is cut is not: raw flits hold it, and the room may come late.
        held = [
            registered(m, Mux(cut, value, 0), f"spent{part}") for part, value in enumerate(spent)
        ]
        bits = len(flit.room)

        def extended(value: Value) -> Value:
            return Cat(value, Const(0, bits))[:bits]

        # Subtracting is adding the complement and 1, which stands in the free bit of the carries.
        some, carries = carry_saved(flit.room[:bits], extended(_any_of(held)), ~extended(row.total))
        carries |= 1
        m.d.sync += flit.room.eq(Mux(opens, opened, (some + carries)[:bits].as_signed()))
        for left, table in ((flit.low, low_table), (flit.high, high_table)):
            rest, more = carry_saved(some, carries, ~extended(table))
            m.d.sync += left.eq(rest + (more | 1))

    def _report(self, m: Module, row: _Row, flit: _OpenFlit, cut: Signal, place: Signal) -> None:
        """Where a flit ends: as soon as that is known, but one a cycle."""
        number = Signal(self.number_bits)
        start = Signal.like(number)
        opened = Mux(row.first, number, start)
        m.d.sync += number.eq(number + 1)
        with m.If(cut | row.first):
            m.d.sync += start.eq(number)
        # The last flit of a message opened in the row it ends in, and another one ended there too.
        late = Signal()
        late_end = registered(m, row.count, "late_end")
        m.d.sync += late.eq(row.ends & (cut | late))
        ending = Cat(Const(0, len(place)), Mux(row.first, 0, flit.rows)) + row.count
        m.d.sync += [
            self.number.eq(number),
            self.known.eq(cut | row.ends | late),
            self.start.eq(Mux(late, number - 1, opened)),
            self.end.eq(Mux(late, late_end, Mux(cut, Cat(place, flit.rows), ending))),
        ]


def _any_of(values: list[Value]) -> Value:
    """The one that is not 0, if any."""
    return picked([Const(1)] * len(values), values)


def _at_most(cost: Value, room: Value) -> Value:
    """cost <= room, for a room of any sign; what all costs have in common is decided once."""
    bits = len(cost)
    above = room[bits:-1].any()
    return ~room[-1] & (above | (cost <= room[:bits]))
