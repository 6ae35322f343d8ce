"""The group quantizer: bf16 values to codes with what their group shares."""

from __future__ import annotations

from amaranth import Array, C, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.quantizer.arithmetic import NAN
from hw.quantizer.extremes import Extremes, ExtremesFinder, fan_ins
from hw.quantizer.group_queue import GroupQueue
from hw.quantizer.lanes import Coded, MinimumLanes, PointLanes
from hw.quantizer.layouts import check_values_per_cycle, group_layout, row_layout
from hw.quantizer.pipeline import Pipeline, Staged
from hw.quantizer.scale import Range, find_range, find_scale
from linksim.codecs.quantize import GroupQuantizer


class QuantizerPipeline(wiring.Component):
    """The quantizer without flow control: a row, or a gap, every cycle; a group when it is done.

    *latency* cycles after a group's last row the group stands at `group` for one cycle.
    """

    def __init__(self, *, definition: GroupQuantizer, values_per_cycle: int):
        check_values_per_cycle(values_per_cycle)
        self.definition = definition
        self.values_per_cycle = values_per_cycle
        self.rows = definition.group // values_per_cycle
        # Input, tree, grid, range, look-up, comparison; lanes; a cycle for each further row.
        to_scale = 5 + len(fan_ins(values_per_cycle))
        lanes = 3 if definition.has_zero_point else 7
        self.latency = to_scale + lanes + self.rows - 1
        super().__init__(
            {
                "valid": In(1),
                "row": In(row_layout(values_per_cycle)),
                "done": Out(1),
                "group": Out(group_layout(definition)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        values = [pipe.stage(lambda v: v, Staged(v, 0), width=16) for v in self.row.values]
        valid = Staged(pipe.at(Staged(self.valid, 0), 1, reset=True), 1)
        last = Staged(pipe.at(Staged(self.row.last, 0), 1), 1)

        finder = ExtremesFinder(self.definition, self.values_per_cycle)
        extremes = finder.find(pipe, values, valid, last)
        found = find_range(pipe, self.definition, extremes, rows=self.rows)
        scale = find_scale(pipe, self.definition, found)
        kind = PointLanes if self.definition.has_zero_point else MinimumLanes
        lanes = kind(pipe, self.definition, found, scale)

        rows = self._replayed(m, values, valid)
        kept = self._kept(pipe, extremes, found)
        waiting = [lanes.wait(*pair) for pair in zip(rows, kept, strict=True)]
        coded = lanes.build(waiting)
        self._finish(pipe, coded, scale.pattern, found, extremes)
        return m

    def _replayed(self, m: Module, values: list[Staged], valid: Staged) -> list[Staged]:
        """The values of the rows of a complete group in consecutive cycles.

        Rows may come with gaps between them: all of a group are stored, and read when the last one
        has come.
        """
        if self.rows == 1:
            return values
        row = Signal(range(self.rows))
        store = Array(
            Signal(len(values) * 16, name=f"stored_{number}", reset_less=True)
            for number in range(self.rows)
        )
        reading = Signal(range(self.rows))
        m.d.sync += reading.eq(reading + 1)
        with m.If(valid.value):
            m.d.sync += [
                store[row].eq(Cat(*(value.value for value in values))),
                row.eq(row + 1),
            ]
            with m.If(row == self.rows - 1):
                m.d.sync += reading.eq(0)
        read = Signal(len(values) * 16)
        m.d.comb += read.eq(store[reading])
        return [Staged(read[16 * n :][:16], 2) for n in range(len(values))]

    def _kept(self, pipe: Pipeline, extremes: Extremes, found: Range) -> list[Staged | None]:
        """Which places of a row hold one of the two values that are kept as they are."""
        if not self.definition.spikes:
            return [None] * self.values_per_cycle
        m, cycle = pipe.m, found.grid.cycle
        inside = (self.values_per_cycle - 1).bit_length()
        row = Signal(range(max(self.rows, 2)))
        if self.rows > 1:
            # The first row meets its grid when that appears.
            m.d.sync += row.eq(Mux(pipe.at(extremes.complete, cycle - 1, reset=True), 0, row + 1))
        masks = []
        for name in ("low_index", "high_index"):
            index = pipe.at(found.spikes[name], cycle)
            here = index[inside:] == row if self.rows > 1 else C(1, 1)
            masks.append(pipe.wire(Mux(here, (C(1, 1) << index[:inside]), 0)))
        return [
            Staged(masks[0][place] | masks[1][place], cycle)
            for place in range(self.values_per_cycle)
        ]

    def _finish(
        self,
        pipe: Pipeline,
        coded: Coded,
        scale: Staged,
        found: Range,
        extremes: Extremes,
    ) -> None:
        """Joins the codes of a group's rows; what they share stands until the last one."""
        m = pipe.m
        cycle = coded.codes[0].cycle
        row = Cat(*(code.value for code in coded.codes))
        codes: Value = row
        if self.rows > 1:
            before = Signal(len(row) * (self.rows - 1), reset_less=True)
            codes = Cat(before, row)
            m.d.sync += before.eq(codes[len(row) :])
        done = cycle + self.rows - 1

        scale = pipe.comb(
            lambda scale, poisoned: Mux(poisoned, NAN, scale), scale, found.poisoned, width=16
        )
        m.d.comb += [
            self.done.eq(pipe.at(extremes.complete, done, reset=True)),
            self.group.last.eq(pipe.at(extremes.last, done)),
            self.group.codes.eq(codes),
            self.group.scale.eq(pipe.at(scale, cycle)),
            self.group.zero.eq(pipe.at(coded.zero, cycle)),
        ]
        for name, spike in found.spikes.items():
            m.d.comb += self.group[name].eq(pipe.at(spike, cycle))


class Quantizer(wiring.Component):
    """Quantizes groups of bf16 values, bit for bit as `GroupQuantizer.quantize` does.

    **Throughput**: a row of *values_per_cycle* values every cycle, with gaps wherever they come.
    **Latency**: *latency* cycles from the transfer of a group's last row to the group being
    offered; without gaps *first_value_latency* from that of its first.
    **Back-pressure**: the pipeline never stands still. A group is begun only if the queue behind it
    has room for it: that of *queue_groups* groups is just long enough for the full rate. `i.ready`
    comes from a register, so no path leads from `o.ready` to it; `o.valid` does not depend on
    `o.ready`.

    Parameters
    ----------
    definition: the arithmetic: width of a code, size of a group, kind of zero, spikes or not.
    values_per_cycle: W, 8, 16 or 32.

    Raises
    ------
    ValueError for another width.

    Members
    -------
    i: In, stream of rows, see `row_layout`. A message is whole groups.
    o: Out, stream of groups, see `group_layout`.
    """

    def __init__(self, *, definition: GroupQuantizer, values_per_cycle: int):
        self._pipeline = QuantizerPipeline(definition=definition, values_per_cycle=values_per_cycle)
        self.definition = definition
        self.values_per_cycle = values_per_cycle
        self.rows_per_group = self._pipeline.rows
        self.latency = self._pipeline.latency
        self.first_value_latency = self.latency + self.rows_per_group - 1
        # From a group's first row to the cycle in which its successor in the queue may begin.
        self.queue_groups = -(-(self.first_value_latency + 1) // self.rows_per_group)
        super().__init__(
            {
                "i": In(stream.Signature(row_layout(values_per_cycle))),
                "o": Out(stream.Signature(group_layout(definition))),
            }
        )

    def cycles(self, groups: int) -> int:
        """From the transfer of the first row to the last of *groups* groups being offered.

        Exact where no row comes late and every group is taken at once.
        """
        return (groups - 1) * self.rows_per_group + self.first_value_latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.pipeline = pipeline = self._pipeline
        m.submodules.queue = queue = GroupQueue(
            layout=group_layout(self.definition), depth=self.queue_groups
        )
        # Groups that may still be begun, and the row of the open one that comes next.
        room = Signal(range(self.queue_groups + 1), init=self.queue_groups)
        taken, begun, freed = Signal(), Signal(), Signal()
        row = Signal(range(max(self.rows_per_group, 2)))
        m.d.comb += [
            self.i.ready.eq(row.any() | room.any()),
            taken.eq(self.i.valid & self.i.ready),
            begun.eq(taken & (row == 0)),
            freed.eq(self.o.valid & self.o.ready),
            pipeline.valid.eq(taken),
            pipeline.row.eq(self.i.payload),
            queue.arriving.eq(pipeline.done),
            queue.group.eq(pipeline.group),
            self.o.valid.eq(queue.o.valid),
            self.o.payload.eq(queue.o.payload),
            queue.o.ready.eq(self.o.ready),
        ]
        m.d.sync += room.eq(room - begun + freed)
        if self.rows_per_group > 1:
            with m.If(taken):
                m.d.sync += row.eq(row + 1)
        return m
