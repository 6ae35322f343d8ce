"""Brings the values of a lane pool back into their order and joins them with their rest bytes."""

from __future__ import annotations

from dataclasses import replace

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.canonical import gathered, pick
from hw.huffman.decoder_lane import lane_output_layout
from hw.huffman.layouts import decoded_layout
from hw.huffman.run_memories import RecordMemory
from hw.huffman.run_plan import BAYS, STORED_FLITS, RunPlan

PAGE_NBYTES = 64
"""The rest bytes of a row are looked for in steps of so many bytes first."""
SYMBOL_LATENCY = 3
"""Cycles from the beat that a lane notes as its start to the first symbol at the banks' door."""


def rows_layout(plan: RunPlan) -> data.StructLayout:
    """A row as it leaves, see `decoded_layout`; it may be wider than the pool has lanes."""
    return decoded_layout(replace(plan.shape, values_per_cycle=plan.row_values))


def rotated(units: list[Value], places: Value) -> list[Value]:
    """*units* moved down by *places*: what was there comes to place 0."""
    for bit in range(len(places)):
        by = 1 << bit
        moved = units[by:] + units[:by]
        units = [Mux(places[bit], far, near) for near, far in zip(units, moved, strict=True)]
    return units


class ReorderBanks(wiring.Component):
    """As many memories as lanes; every cycle each lane writes to another, the next in order.

    So the symbols of a run lie in neighbouring banks, at one address until all banks have one.

    Members
    -------
    beat: In, counts cycles modulo the number of lanes: lane l writes to bank l + beat.
    lanes: In, see `lane_output_layout`; what they bring can be read from the second cycle on.
    read: In. lane, bay, row: In. symbols: Out, of all banks, the cycle after, part by part.
    """

    def __init__(self, plan: RunPlan):
        self.plan = plan
        super().__init__(
            {
                "beat": In(plan.lane_bits),
                "lanes": In(data.ArrayLayout(lane_output_layout(plan), plan.lanes)),
                "read": In(1),
                "lane": In(plan.lane_bits),
                "bay": In(1),
                "row": In(range(max(plan.rows, 2))),
                "symbols": Out(
                    data.ArrayLayout(
                        data.ArrayLayout(plan.shape.symbol_bits, plan.row_parts), plan.lanes
                    )
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan = self.plan
        layout = lane_output_layout(plan)
        row_bits, part_bit = (plan.rows - 1).bit_length(), plan.row_parts - 1
        arriving = rotated([lane.as_value() for lane in self.lanes], -self.beat[: plan.lane_bits])
        writers = [
            Signal(plan.lane_bits, name=f"writer{bank}", init=(bank + 1) % plan.lanes)
            for bank in range(plan.lanes)
        ]
        for bank, (writer, value) in enumerate(zip(writers, arriving, strict=True)):
            memory = RecordMemory(
                plan.shape.symbol_bits * plan.row_parts,
                depth=plan.lanes * BAYS * plan.rows,
                granularity=plan.shape.symbol_bits,
            )
            m.submodules[f"bank{bank}"] = memory
            got = Signal(layout, name=f"got{bank}", reset_less=True)
            valid = Signal(name=f"valid{bank}")
            m.d.sync += [
                writer.eq(writers[bank - 1]),
                got.eq(value),
                valid.eq(data.View(layout, value).valid),
            ]
            here = got.part[0] if plan.row_parts == 2 else 0
            m.d.comb += [
                memory.write.eq(valid << here),
                memory.write_address.eq(
                    Cat(got.part[part_bit : part_bit + row_bits], got.bay, writer)
                ),
                memory.write_data.eq(got.symbol.replicate(plan.row_parts)),
                memory.read.eq(self.read),
                memory.address.eq(Cat(self.row[:row_bits], self.bay, self.lane)),
                self.symbols[bank].as_value().eq(memory.data),
            ]
        return m


class RunReader(wiring.Component):
    """Rows of values in the order in which their runs were handed out.

    A run's rows leave when all of it has been decoded. Rows end with their run.

    **Throughput**: a row a cycle. While a row is offered and not taken everything here stands
    still, and `o` is a function of registers.

    Members
    -------
    order, order_write: In, a run has been handed out; order_room: Out.
    done, broken: In, a bit per lane and bay; started: In, per lane and bay; taken: Out.
    stray, stray_slot: In, these flits are broken.
    read: Out. lane, bay, row: Out, of the reorder banks; symbols: In, the cycle after.
    slot: Out, of the flit memory, read at the same time; flit: In. released: Out, it is free.
    o: Out, stream of rows.
    """

    def __init__(self, plan: RunPlan):
        self.plan = plan
        places = plan.lanes * BAYS
        super().__init__(
            {
                "order": In(plan.order_layout()),
                "order_write": In(1),
                "order_room": Out(1),
                "done": In(places),
                "broken": In(places),
                "started": In(data.ArrayLayout(plan.lane_bits, places)),
                "taken": Out(places),
                "stray": In(plan.units),
                "stray_slot": In(data.ArrayLayout(range(STORED_FLITS), plan.units)),
                "read": Out(1),
                "lane": Out(plan.lane_bits),
                "bay": Out(1),
                "row": Out(range(max(plan.rows, 2))),
                "symbols": In(
                    data.ArrayLayout(
                        data.ArrayLayout(plan.shape.symbol_bits, plan.row_parts), plan.lanes
                    )
                ),
                "slot": Out(range(STORED_FLITS)),
                "flit": In(plan.shape.payload_bits),
                "released": Out(1),
                "o": Out(stream.Signature(rows_layout(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan = self.plan
        advance = Signal()
        stage = data.StructLayout(
            {
                "run": plan.order_layout(),
                "row": range(max(plan.rows, 2)),
                "final": 1,
                "count": range(plan.row_values + 1),
                "error": 1,
                "rotation": plan.lane_bits,
            }
        )
        chosen = Signal(stage)
        stages = [(Signal(stage, name=f"stage{n}"), Signal(name=f"filled{n}")) for n in range(4)]
        head, head_valid, pop = self._order(m, chosen.final)
        go = self._choose(m, head, head_valid, chosen, stages, advance)
        m.d.comb += pop.eq(go & chosen.final)
        with m.If(advance):
            previous, filled = chosen, go
            for now, valid in stages:
                m.d.sync += [now.eq(previous), valid.eq(filled)]
                previous, filled = now, valid
            first, second = stages[0][0], stages[1][0]
            place = Cat(first.run.bay, first.run.lane)
            begun = pick(list(self.started), place)
            m.d.sync += second.rotation.eq(begun + first.run.lane + SYMBOL_LATENCY)
        self._fetch(m, *stages[1], advance)
        self._deliver(m, stages[1][0], stages[2][0], *stages[3], advance)
        return m

    def _order(self, m: Module, final: Value) -> tuple[Value, Value, Value]:
        """The runs handed out and not read, first one first."""
        plan = self.plan
        depth = 4 * plan.lanes
        m.submodules.runs = memory = RecordMemory(plan.order_layout(), depth=depth)
        first, last = Signal(range(depth)), Signal(range(depth))
        count, valid, pop = Signal(range(depth + 1)), Signal(), Signal()
        m.d.sync += [
            first.eq(first + pop),
            last.eq(last + self.order_write),
            count.eq(count + self.order_write - pop),
            valid.eq(count > pop),
            self.order_room.eq(count < depth - 2),
        ]
        m.d.comb += [
            memory.write.eq(self.order_write),
            memory.write_address.eq(last),
            memory.write_data.eq(self.order),
            memory.read.eq(1),
            memory.address.eq((first + pop)[: len(first)]),
        ]
        return memory.data, valid, pop

    def _choose(
        self,
        m: Module,
        head: Value,
        head_valid: Value,
        chosen: Value,
        stages: list[tuple[Value, Value]],
        advance: Value,
    ) -> Value:
        """The next row, of a run that is done."""
        plan = self.plan
        go, broken, failed = Signal(), Signal(), Signal()
        row = Signal(range(max(plan.rows, 2)))
        stray = Signal(STORED_FLITS)
        value_bits = (plan.row_values - 1).bit_length()
        place = Cat(head.bay, head.lane)
        done = pick(list(self.done), place)
        # A bay whose run is being read is still marked as done.
        waiting = Signal()
        for now, valid in stages[:2]:
            with m.If(valid & (now.run.lane == head.lane) & (now.run.bay == head.bay)):
                m.d.comb += waiting.eq(~head.flit.void & now.final)
        final = row == head.left >> value_bits
        m.d.comb += [
            go.eq(advance & head_valid & (head.flit.void | (done & ~waiting))),
            broken.eq(pick(list(self.broken), place) & ~head.flit.void),
            chosen.run.eq(head),
            chosen.row.eq(row),
            chosen.final.eq(final | head.flit.void),
            chosen.count.eq(
                Mux(
                    head.flit.void,
                    0,
                    Mux(final, head.left[:value_bits] + 1, plan.row_values),
                )
            ),
            chosen.error.eq(
                failed
                | broken
                | head.flit.broken
                | head.flit.void
                | stray.bit_select(head.flit.slot, 1)
            ),
        ]
        with m.If(go):
            m.d.sync += row.eq(Mux(chosen.final, 0, row + 1))
            with m.If(chosen.final):
                m.d.sync += failed.eq(~head.end & (failed | broken))
            with m.If(chosen.final & head.end):
                m.d.sync += stray.bit_select(head.flit.slot, 1).eq(0)
        for unit in range(plan.units):
            with m.If(self.stray[unit]):
                m.d.sync += stray.bit_select(self.stray_slot[unit], 1).eq(1)
        return go

    def _fetch(self, m: Module, stage: Value, filled: Value, advance: Value) -> None:
        """Read the memories; then the lane may use its bay again."""
        run = stage.run
        gone = advance & filled & stage.final
        m.d.comb += [
            self.read.eq(advance),
            self.lane.eq(run.lane),
            self.bay.eq(run.bay),
            self.row.eq(stage.row),
            self.slot.eq(run.flit.slot),
            self.taken.eq((gone & ~run.flit.void) << Cat(run.bay, run.lane)),
            self.released.eq(gone & run.end),
        ]

    def _deliver(
        self,
        m: Module,
        asked: Value,
        read: Value,
        last: Value,
        valid: Value,
        advance: Value,
    ) -> None:
        """From what the memories give to the row, with a register between."""
        plan, shape = self.plan, self.plan.shape
        symbols = []
        for part in range(plan.row_parts):
            banks = [bank[part] for bank in self.symbols]
            symbols += rotated(banks, read.rotation)
        row = self.o.payload
        for place, symbol in enumerate(symbols):
            held = Signal(shape.symbol_bits, name=f"symbol{place}", reset_less=True)
            with m.If(advance):
                m.d.sync += held.eq(symbol)
            m.d.comb += row.symbols[place].eq(held + last.run.flit.bias)
        if shape.rest_bits:
            begins = asked.run.rest + (asked.row << (plan.row_values - 1).bit_length())
            self._rest(m, begins[: plan.byte_bits] if plan.rows > 1 else asked.run.rest, advance)
        end = last.final & last.run.end
        m.d.comb += [
            row.count.eq(last.count),
            row.flit_end.eq(end),
            row.last.eq(end & last.run.flit.last),
            row.error.eq(end & last.error),
            self.o.valid.eq(valid),
            advance.eq(~valid | self.o.ready),
        ]

    def _rest(self, m: Module, following: Value, advance: Value) -> None:
        """The rest bytes of the row out of the whole flit, from *following* on."""
        plan = self.plan
        width, fine = plan.row_values, min(5, plan.byte_bits)
        offset = Signal(plan.byte_bits, reset_less=True)
        pages = [
            Signal(name=f"page{start}", reset_less=True)
            for start in range(0, plan.shape.payload_nbytes, PAGE_NBYTES)
        ]
        with m.If(advance):
            m.d.sync += offset.eq(following)
            m.d.sync += [page.eq(following >> 6 == index) for index, page in enumerate(pages)]
        taken = 8 * (width + PAGE_NBYTES - 1)
        bits = gathered(
            [
                (page, self.flit[8 * PAGE_NBYTES * index :][:taken])
                for index, page in enumerate(pages)
            ],
            taken,
        )
        keep = 8 * (width + (1 << fine) - 1)
        coarse = Signal(keep, reset_less=True)
        fine_offset = Signal(fine, reset_less=True)
        with m.If(advance):
            m.d.sync += [
                coarse.eq(Mux(offset[fine], bits[8 << fine : keep + (8 << fine)], bits[:keep])),
                fine_offset.eq(offset),
            ]
        bits = coarse
        for bit in reversed(range(fine)):
            keep = 8 * (width + (1 << bit) - 1)
            bits = Mux(fine_offset[bit], bits[8 << bit : keep + (8 << bit)], bits[:keep])
        m.d.comb += self.o.payload.rest.as_value().eq(bits)
