"""Lowest and highest value of every group, by two trees that share their first comparisons.

A node picks the greatest of up to four keys by comparing all pairs at once: three stages for 32
values where a binary tree has five, and every stage holds back a whole row of values. The low tree
works on inverted keys, so that all nodes look for the greatest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from amaranth import C, Cat, Mux, Signal, Value

from hw.quantizer.arithmetic import (
    all_of,
    any_of,
    chosen,
    order_key,
    pattern_of_key,
    sign,
    unless,
)
from hw.quantizer.pipeline import Pipeline, Staged
from linksim.codecs.quantize import GroupQuantizer

Above = Callable[[int, int], Value]
"""above(i, j): whether the first entry of child i stands above that of child j."""


@dataclass
class Entry:
    """Greatest key of some neighbouring values; where it stands and the second, if asked for."""

    key: Value
    index: Value | None = None
    second: Value | None = None

    def packed(self) -> Value:
        return Cat(*(part for part in (self.key, self.index, self.second) if part is not None))


@dataclass(frozen=True)
class EntryShape:
    """Widths in a packed `Entry`."""

    key: int
    index: int | None = None
    second: bool = False

    @property
    def width(self) -> int:
        return self.key * (1 + self.second) + (self.index or 0)

    def unpacked(self, value: Value) -> Entry:
        index = None if self.index is None else value[self.key :][: self.index]
        second = value[self.key + (self.index or 0) :] if self.second else None
        return Entry(value[: self.key], index, second)


@dataclass
class Extremes:
    """Patterns of a group's lowest and highest value, and when they are known.

    low, high: the ends of the range. With spikes these are the second lowest and second highest;
    *spikes* then has low, high, low_index, high_index.
    complete: set once for every group, in the cycle of the others. last: whether it ends a message,
    in the same cycle.
    """

    low: Staged
    high: Staged
    complete: Staged
    last: Staged
    spikes: dict[str, Staged]


def fan_ins(values_per_cycle: int) -> tuple[int, ...]:
    """Children of the nodes of each level; in the last one the rows before count as one more."""
    return {8: (4, 2), 16: (4, 2, 2), 32: (4, 4, 2)}[values_per_cycle]


def greatest(pipe: Pipeline, children: Sequence[Entry], above: Above) -> Entry:
    """What the children have above all others."""
    count = range(len(children))
    wins = [pipe.wire(all_of([above(i, j) for j in count if j != i])) for i in count]
    entry = Entry(chosen(wins, [child.key for child in children]))
    if children[0].index is not None:
        number = chosen(wins, [C(i, (len(children) - 1).bit_length()) for i in count])
        entry.index = Cat(chosen(wins, [child.index for child in children]), number)
    if children[0].second is not None or children[0].index is not None:
        entry.second = _second(pipe, children, above, wins)
    return entry


def _second(
    pipe: Pipeline, children: Sequence[Entry], above: Above, wins: Sequence[Value]
) -> Value:
    """The greatest key but for the winner's: the winner's own second or another child's first."""
    count = range(len(children))
    runner_up = [
        pipe.wire(
            any_of(
                [
                    above(i, j) & all_of([above(j, k) for k in count if k not in (i, j)])
                    for i in count
                    if i != j
                ]
            )
        )
        for j in count
    ]
    firsts = [child.key for child in children]
    if children[0].second is None:
        return chosen(runner_up, firsts)
    own = [
        pipe.wire(wins[i] & all_of([children[i].second >= firsts[j] for j in count if j != i]))
        for i in count
    ]
    own_one = pipe.wire(any_of(own))
    others = [unless(own_one, runner) for runner in runner_up]
    return chosen([*own, *others], [*(child.second for child in children), *firsts])


def ordered(pipe: Pipeline, keys: Sequence[Value], *, later_on_ties: bool) -> Above:
    """The order of *keys*; of equal ones the later or the earlier stands above."""
    later = {}
    for j in range(len(keys)):
        for i in range(j):
            later[i, j] = pipe.wire(keys[j] >= keys[i] if later_on_ties else keys[j] > keys[i])
    return lambda i, j: ~later[i, j] if i < j else later[j, i]


def reversed_order(above: Above) -> Above:
    """The order upside down."""
    return lambda i, j: above(j, i)


def among(taking_part: Sequence[Value], above: Above) -> Above:
    """*above*, but those that take no part stand below all others."""
    return lambda i, j: taking_part[i] & (above(i, j) | ~taking_part[j])


class ExtremesFinder:
    """Builds both trees in a pipeline."""

    def __init__(self, definition: GroupQuantizer, values_per_cycle: int):
        self.definition = definition
        self.rows = definition.group // values_per_cycle
        self.fan_ins = fan_ins(values_per_cycle)
        # Where 0 belongs to the range, the low end is the greatest magnitude of the negative
        # values, the high end that of the others, and signs need no comparing.
        self.by_magnitude = definition.has_zero_point and not definition.spikes
        self.key_bits = 15 if self.by_magnitude else 16

    def find(
        self, pipe: Pipeline, values: Sequence[Staged], valid: Staged, last: Staged
    ) -> Extremes:
        """The extremes of groups of rows *values*, of which those with *valid* count."""
        sides = self._first_level(pipe, values)
        for level in range(1, len(self.fan_ins) - 1):
            sides = [
                self._level(pipe, side, self.fan_ins[level], level, later_on_ties=high)
                for high, side in enumerate(sides)
            ]
        cycle = sides[0][0].cycle
        complete = self._complete(pipe, pipe.at(valid, cycle, reset=True))
        entries = [
            self._last_level(pipe, side, pipe.at(valid, cycle, reset=True), later_on_ties=high)
            for high, side in enumerate(sides)
        ]
        return self._extremes(pipe, entries, Staged(complete, cycle + 1), last)

    def _shape(self, level: int) -> EntryShape:
        """Of the entries behind *level*."""
        if not self.definition.spikes:
            return EntryShape(self.key_bits)
        bits = sum((fan_in - 1).bit_length() for fan_in in self.fan_ins[: level + 1])
        return EntryShape(self.key_bits, bits, True)

    def _first_level(self, pipe: Pipeline, values: Sequence[Staged]) -> list[list[Staged]]:
        fan_in, width = self.fan_ins[0], self._shape(0).width
        node = (
            partial(self._magnitude_node, pipe)
            if self.by_magnitude
            else partial(self._key_node, pipe)
        )
        low, high = [], []
        for first in range(0, len(values), fan_in):
            both = pipe.stage(node, *values[first : first + fan_in], width=2 * width)
            low.append(Staged(both.value[:width], both.cycle))
            high.append(Staged(both.value[width:], both.cycle))
        return [low, high]

    def _magnitude_node(self, pipe: Pipeline, *patterns: Value) -> Value:
        magnitudes = [pattern[:15] for pattern in patterns]
        entries = [Entry(magnitude) for magnitude in magnitudes]
        above = ordered(pipe, magnitudes, later_on_ties=True)
        negative = [sign(pattern) for pattern in patterns]
        ends = []
        for taking_part in (negative, [~bit for bit in negative]):
            greatest_one = greatest(pipe, entries, among(taking_part, above))
            ends.append(greatest_one.packed())
        return Cat(*ends)

    def _key_node(self, pipe: Pipeline, *patterns: Value) -> Value:
        keys = [pipe.wire(order_key(pattern)) for pattern in patterns]
        above = ordered(pipe, keys, later_on_ties=True)
        index = C(0, 0) if self.definition.spikes else None
        low = greatest(pipe, [Entry(~key, index) for key in keys], reversed_order(above))
        high = greatest(pipe, [Entry(key, index) for key in keys], above)
        return Cat(low.packed(), high.packed())

    def _level(
        self, pipe: Pipeline, side: list[Staged], fan_in: int, level: int, *, later_on_ties: bool
    ) -> list[Staged]:
        shape = self._shape(level - 1)

        def node(*packed: Value) -> Value:
            entries = [shape.unpacked(value) for value in packed]
            order = ordered(pipe, [entry.key for entry in entries], later_on_ties=later_on_ties)
            return greatest(pipe, entries, order).packed()

        width = self._shape(level).width
        return [
            pipe.stage(node, *side[first : first + fan_in], width=width)
            for first in range(0, len(side), fan_in)
        ]

    def _complete(self, pipe: Pipeline, valid: Value) -> Value:
        """Counts the rows of a group; set when the last one has passed."""
        m, complete = pipe.m, Signal()
        self.row = Signal(range(max(self.rows, 2)))
        if self.rows == 1:
            m.d.sync += complete.eq(valid)
        else:
            with m.If(valid):
                m.d.sync += self.row.eq(self.row + 1)
            m.d.sync += complete.eq(valid & (self.row == self.rows - 1))
        return complete

    def _last_level(
        self, pipe: Pipeline, side: list[Staged], valid: Value, *, later_on_ties: bool
    ) -> Entry:
        """The node that takes in the rows before; its result stands until the next row."""
        level = len(self.fan_ins) - 1
        before = self._shape(level - 1)
        shape = self._shape(level)
        if self.rows > 1 and shape.index is not None:
            shape = EntryShape(shape.key, (self.definition.group - 1).bit_length(), True)
        result = Signal(shape.width, reset_less=True)
        children = [before.unpacked(staged.value) for staged in side]
        order = ordered(pipe, [child.key for child in children], later_on_ties=later_on_ties)
        if self.rows == 1:
            pipe.m.d.sync += result.eq(greatest(pipe, children, order).packed())
            return shape.unpacked(result)
        for number, child in enumerate(children):
            if child.index is not None:
                bits = (len(children) - 1).bit_length()
                child.index = Cat(child.index, C(number, bits), self.row)
        # In a group's first row nothing was before, and 0 is no greater than any key.
        follows = self.row.any()
        so_far = shape.unpacked(result)
        so_far.key = pipe.wire(unless(~follows, so_far.key))
        if so_far.second is not None:
            so_far.second = unless(~follows, so_far.second)
        order = self._with_rows_before(pipe, so_far.key, children, follows, order, later_on_ties)
        node = greatest(pipe, [so_far, *children], order)
        if shape.index is not None:
            # Every child has brought its whole index along.
            node.index = node.index[: shape.index]
        pipe.m.d.sync += result.eq(Mux(valid, node.packed(), result))
        return shape.unpacked(result)

    def _with_rows_before(
        self,
        pipe: Pipeline,
        key: Value,
        children: Sequence[Entry],
        follows: Value,
        order: Above,
        later: bool,
    ) -> Above:
        """*order* with the rows before as child 0, which in a group's first row stands below."""
        above_child = [
            pipe.wire(follows & (key > child.key if later else key >= child.key))
            for child in children
        ]

        def above(i: int, j: int) -> Value:
            if i == 0:
                return above_child[j - 1]
            return ~above_child[i - 1] if j == 0 else order(i - 1, j - 1)

        return above

    def _extremes(
        self, pipe: Pipeline, entries: Sequence[Entry], complete: Staged, last: Staged
    ) -> Extremes:
        cycle = complete.cycle

        def pattern(key: Value, *, low: bool) -> Staged:
            if self.by_magnitude:
                return Staged(Cat(key, C(low, 1)), cycle)
            return Staged(pattern_of_key(~key if low else key), cycle)

        ends = []
        for low, entry in zip((True, False), entries, strict=True):
            end = pattern(entry.key if entry.second is None else entry.second, low=low)
            if self.definition.has_zero_point and not self.by_magnitude:
                outside = ~sign(end.value) if low else sign(end.value)
                end = Staged(unless(outside, end.value), cycle)
            ends.append(end)
        spikes = {}
        if self.definition.spikes:
            for name, low, entry in zip(("low", "high"), (True, False), entries, strict=True):
                spikes[name] = pattern(entry.key, low=low)
                spikes[f"{name}_index"] = Staged(entry.index, cycle)
        ended = Staged(pipe.at(last, cycle, reset=True), cycle)
        return Extremes(ends[0], ends[1], complete, ended, spikes)
