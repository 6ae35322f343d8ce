"""The cutter: a flit never takes more than fits, nor less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Array, Const, Module, Mux, Signal, Value

from hw.formal.harness import Harness
from hw.formal.mutants import attribute, statement
from hw.formal.prove import Property
from hw.formal.small import SmallShape
from hw.huffman.flit_cutter import FlitCutter
from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import HEADER_BITS

_BEFORE_DECISION = 2
"""Cycles from a row's coming in to its being cut."""


@dataclass(frozen=True)
class _Row:
    """A row as the model cuts it."""

    count: Signal
    first: Signal
    ends: Signal
    sums: Sequence[Value]
    """Bits before every place; the last is the whole row's."""


@dataclass(frozen=True)
class _Flit:
    """The open flit of the model."""

    open: Signal
    values: Signal
    bits: Signal
    """Code and rest bits."""
    place: Signal
    """Of its first value, in the row it opened in."""
    rows: Signal
    """Since that row."""


class CutFlits(Harness):
    """The cutter beside a model that counts the values and bits of the open flit.

    The model decides for itself which values of a row join, by the rule of the format; the checks
    on a closed flit are about the model's counts, so they do not rest on the cutter's arithmetic.
    """

    def __init__(self, shape: LinkShape):
        super().__init__()
        self.shape = shape
        self.dut = FlitCutter(shape)

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        shape, width = self.shape, self.shape.values_per_cycle
        self.free_inputs(m, dut)
        self._keep_to_rows(m)
        row = self._row(m)
        flit = _Flit(
            open=Signal(name="open"),
            values=Signal(range(shape.max_values + 1), name="values"),
            bits=Signal(range(2 * shape.max_spent), name="bits"),
            place=Signal(range(width), name="place"),
            rows=Signal(range(shape.flit_rows + 2), name="rows"),
        )
        self.shown += ["open", "values", "bits", "place", "rows"]
        accepted: list[Value] = []
        for place in range(width):
            fits = self._fits(flit.values + place + 1, flit.bits + row.sums[place + 1])
            before = accepted[-1] if accepted else Const(1)
            accepted.append((place < row.count) & (row.first | fits) & before)
        taken = self.show(m, sum(accepted, start=Const(0)), "taken")
        cut = self.show(m, ~row.first & (taken != row.count), "cut")
        self._advance(m, row, flit, taken, cut)
        ended = self._held(m, row.ends, 1, "ended")
        self._check_report(m, row, flit, taken, cut, ended)
        self._check_flit(m, row, flit, taken, cut, ended)
        self._tie(m, flit, ended)

    def _keep_to_rows(self, m: Module) -> None:
        """All rows of a message are full but its last, and none is followed by a gap."""
        dut, width = self.dut, self.shape.values_per_cycle
        self.inside = inside = Signal(name="inside")
        m.d.sync += inside.eq((inside | dut.first) & ~dut.ends)
        self.assume(m, dut.count <= width)
        self.assume(m, dut.first == (~inside & (dut.count != 0)))
        self.assume(m, ~inside | dut.ends | (dut.count == width))
        self.assume(m, inside | ~dut.first | dut.ends | (dut.count == width))
        self.assume(m, inside | dut.first | ~dut.ends)
        least = self.shape.min_length + self.shape.rest_bits
        for cost in dut.costs:
            self.assume(m, (cost >= least) & (cost <= self.shape.max_length + self.shape.rest_bits))

    def _row(self, m: Module) -> _Row:
        dut, cycles = self.dut, _BEFORE_DECISION
        count, first, ends = (
            self._held(m, value, cycles, name)
            for name, value in (("count", dut.count), ("first", dut.first), ("ends", dut.ends))
        )
        costs = [self._held(m, cost, cycles, f"cost{k}") for k, cost in enumerate(dut.costs)]
        filled = [Mux(place < count, cost, 0) for place, cost in enumerate(costs)]
        sums = [sum(filled[:place], start=Const(0)) for place in range(len(costs) + 1)]
        return _Row(count, first, ends, sums)

    def _held(self, m: Module, value: Value, cycles: int, name: str) -> Signal:
        """*value* so many cycles ago, 0 at first."""
        value = Value.cast(value)
        for cycle in range(1, cycles + 1):
            held = Signal(len(value), name=f"{name}_{cycle}_ago")
            m.d.sync += held.eq(value)
            value = held
        return value

    def _advance(self, m: Module, row: _Row, flit: _Flit, taken: Value, cut: Value) -> None:
        total, spent = row.sums[-1], Array(row.sums)[taken]
        m.d.sync += flit.open.eq((flit.open | row.first) & ~row.ends)
        with m.If(row.first | cut):
            start = Mux(row.first, 0, taken)
            m.d.sync += [
                flit.values.eq(row.count - start),
                flit.bits.eq(Mux(row.first, total, total - spent)),
                flit.place.eq(start),
                flit.rows.eq(1),
            ]
        with m.Elif(flit.open):
            m.d.sync += [
                flit.values.eq(flit.values + row.count),
                flit.bits.eq(flit.bits + total),
                flit.rows.eq(flit.rows + 1),
            ]

    def _entries(self, values: Value) -> Value:
        """Entry points of a flit of so many values."""
        run = self.shape.run_symbols
        return Mux(values == 0, 0, (values - 1).as_unsigned()[run.bit_length() - 1 :])

    def _table(self, entries: Value) -> Value:
        most = (1 << len(entries)) - 1
        return Array(8 * self.shape.table_nbytes(count) for count in range(most + 1))[entries]

    def _coded_bits(self, values: Value, bits: Value) -> Value:
        """Size of a coded flit: header, code words, rest and table."""
        return HEADER_BITS + bits + self._table(self._entries(values))

    def _fits(self, values: Value, bits: Value) -> Value:
        coded = self._coded_bits(values, bits) <= self.shape.payload_bits
        return coded | (values <= self.shape.raw_values)

    def _check_report(self, m, row: _Row, flit: _Flit, taken, cut, ended) -> None:
        """What the cutter says, a cycle later, is what the model found."""
        dut = self.dut
        opened = self._held(m, cut, 1, "cut")
        place = self._held(m, Mux(cut, taken, 0), 1, "cut_place")
        self.check(m, "cut", dut.row.cut == opened, "a row is cut where the model cuts it")
        self.check(m, "place", dut.row.place == place, "at the same place")
        self.check(m, "ended", dut.row.ended == self._held(m, ended, 1, "ended_then"), "it ends")
        # Where a row cuts a flit and ends the next one too, the second is told a cycle later.
        late = Signal(name="late")
        m.d.sync += late.eq(row.ends & (cut | late))
        self._means(m, "late", 1, late, Const(1))
        before = flit.place + flit.values
        last = Mux(row.first, 0, before) + row.count
        known = self._held(m, cut | row.ends | late, 1, "known")
        end = self._held(m, Mux(late, before, Mux(cut, before + taken, last)), 1, "end")
        self.check(m, "known", dut.known == known, "it is told that a flit ends")
        self.check(m, "end", ~known | (dut.end == end), "and where")

    def _check_flit(self, m, row: _Row, flit: _Flit, taken, cut, ended) -> None:
        """A closed flit fits its payload, and the value that follows would not."""
        shape = self.shape
        values = self.show(m, flit.values + taken, "flit_values")
        bits = flit.bits + Array(row.sums)[taken]
        size = self.show(m, self._coded_bits(values, bits), "flit_coded_bits")
        raw = values <= shape.raw_values
        raw_size = HEADER_BITS + values * (shape.symbol_bits + shape.rest_bits)
        fits = Mux(raw, raw_size <= shape.payload_bits, size <= shape.payload_bits)
        self.check(m, "fits", ~cut | fits, "a closed flit fits its payload")
        following = (Array(row.sums[1:])[taken] - Array(row.sums)[taken]).as_unsigned()
        one_more = self._fits((values + 1)[: len(values)], bits + following)
        self.check(m, "full", ~cut | ~one_more, "one more value would not fit")
        known = flit.open | ended
        self.check(
            m,
            "open",
            ~known | (self._fits(flit.values, flit.bits) & (flit.values != 0)),
            "the open flit fits as it is, and holds a value",
        )
        self.reach(m, "coded_flit", cut & ~raw)
        self.reach(m, "raw_flit", cut & raw)
        self.reach(m, "exactly_full", cut & ~raw & (size == shape.payload_bits))

    def _tie(self, m: Module, flit: _Flit, ended: Value) -> None:
        """The cutter's registers mean what the model counts; this makes the induction close."""
        shape, width = self.shape, self.shape.values_per_cycle
        run_rows = (shape.run_symbols // width).bit_length() - 1
        kind = self.dut._open_flit().room.shape()
        free = Signal(kind, name="free")
        m.d.comb += free.eq(shape.body_bits - flit.bits)
        rows, late = flit.rows, flit.rows > 1
        self._means(m, "before", width, (Const(1, width + 1) << flit.place) - 1, flit.open)
        self._means(m, "rows", rows.shape(), rows, flit.open | ended)
        entries = range(shape.max_entries + 3)
        self._means(m, "entries", entries, rows >> run_rows, flit.open)
        if run_rows:
            self._means(m, "in_run", run_rows, rows[:run_rows], flit.open)
        # In the row behind the one a flit opens in everything fits, and its room comes late.
        low, high = (rows - 1).as_unsigned()[: len(rows)] >> run_rows, rows >> run_rows
        self._means(m, "room", kind, free, flit.open & late)
        self._means(m, "low", kind, free - self._table(low), flit.open & late)
        self._means(m, "high", kind, free - self._table(high), flit.open & late)

        full_rows = rows * width - flit.place
        self.check(m, "full_rows", ~flit.open | (flit.values == full_rows), "all rows are full")
        self.check(m, "last_row", ~ended | (flit.values <= full_rows), "but the last")
        least, most = (length + shape.rest_bits for length in (shape.min_length, shape.max_length))
        in_code = (flit.bits >= flit.values * least) & (flit.bits <= flit.values * most)
        known = flit.open | ended
        self.check(m, "in_code", ~known | in_code, "no value is longer than a code word may be")
        # A message may end with a row of no values.
        most_rows = shape.flit_rows + ended
        in_range = (flit.values <= shape.max_values) & (rows <= most_rows) & (rows != 0)
        self.check(m, "in_range", ~known | in_range, "no flit holds more than max_values")
        inside = self._held(m, self.inside, _BEFORE_DECISION, "inside")
        self.check(m, "inside", flit.open == inside, "a flit is open inside of a message")
        self.check(m, "place_in_row", flit.place < width, "a flit opens in its row")

    def _means(self, m: Module, name: str, kind, meaning: Value, when: Value) -> None:
        """The register *name* of the cutter has that meaning."""
        register = self.spy(m, kind, f"dut.{name}")
        wanted = Signal(kind, name=f"wanted_{name}")
        m.d.comb += wanted.eq(meaning)
        self.shown.append(wanted.name)
        same = register == wanted
        self.check(m, f"register_{name}", ~when | same, f"{name} means what it should")


def _too_many(shape: LinkShape) -> int:
    return shape.payload_bits - HEADER_BITS + 1


def _cut(name: str, shape: LinkShape, depth: int) -> Property:
    def even(m, cutter):
        m.d.sync += cutter.row.place[0].eq(0)

    return Property(
        name=f"cutter-{name}",
        sentence="every closed flit fits its payload, coded or raw, and one more value would not",
        build=lambda: CutFlits(shape),
        depth=depth,
        induction=5,
        mutants=(
            attribute(
                "a bit too many is thought to fit", LinkShape, "body_bits", property(_too_many)
            ),
            statement("flits open in even places only", FlitCutter, even),
        ),
    )


PLAIN = SmallShape(
    symbol_bits=4,
    rest_bits=0,
    min_length=1,
    max_length=6,
    values_per_cycle=4,
    payload_nbytes=10,
    run_symbols=8,
)
WITH_REST = SmallShape(
    symbol_bits=4,
    rest_bits=8,
    min_length=1,
    max_length=6,
    values_per_cycle=4,
    payload_nbytes=20,
    run_symbols=4,
)
PROPERTIES = (
    _cut("plain", PLAIN, 16),
    _cut("rest", WITH_REST, 14),
)
