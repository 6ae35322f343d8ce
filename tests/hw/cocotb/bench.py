"""One core with stream `i` and stream `o` on the bench: reset, run, check."""

from __future__ import annotations

from collections.abc import Sequence

import cocotb
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from tests.hw.cocotb.patterns import Pattern, always
from tests.hw.cocotb.scoreboard import Model, Scoreboard
from tests.hw.cocotb.stream import Driver, Monitor, Port, Sink

PERIOD_PS = 1000
QUIET_CYCLES = 100
"""Cycles in which the sink is ready and nothing comes, after which nothing more is expected."""
STUCK_CYCLES = 2000
"""Cycles without any transfer after which a core is stuck."""


class Bench:
    """Runs inputs through the core; every run starts with a reset."""

    def __init__(self, dut: SimHandleBase, model: Model, reset_cycles: int):
        self.dut = dut
        self.reset_cycles = reset_cycles
        self.model = model
        self.i, self.o = Port(dut, "i"), Port(dut, "o")
        self.clocked = False
        self.cycles = 0
        """Cycles of all runs."""

    async def reset(self) -> None:
        """Starts the clock where it stands still."""
        dut = self.dut
        dut.i__valid.value = 0
        dut.o__ready.value = 0
        dut.rst.value = 1
        if not self.clocked:
            cocotb.start_soon(Clock(dut.clk, PERIOD_PS, unit="ps").start())
            self.clocked = True
        for _ in range(self.reset_cycles):
            await self.i.edge
        dut.rst.value = 0

    async def run(
        self,
        inputs: Sequence[int],
        offer: Pattern = always,
        take: Pattern = always,
        *,
        probe: bool = False,
    ) -> Scoreboard:
        """Feed *inputs* and wait until nothing more comes; AssertionError where anything is wrong.

        *probe* also tries, in the middle of every cycle, whether an offer depends on being taken.
        """
        board = Scoreboard(self.model)
        await self.reset()
        driver, sink = Driver(self.i, len(inputs)), Sink(self.o)
        outputs = Monitor(self.o, board.gave, board.complain)
        tasks = [
            cocotb.start_soon(driver.run(inputs, offer)),
            cocotb.start_soon(sink.run(take)),
            cocotb.start_soon(Monitor(self.i, board.took, board.complain).run()),
            cocotb.start_soon(outputs.run()),
        ]
        if probe:
            tasks.append(cocotb.start_soon(self._probe(sink, board)))
        seen, still = (0, 0), 0
        while not board.errors and not (driver.done and outputs.idle > QUIET_CYCLES):
            await self.i.edge
            self.cycles += 1
            if not driver.done:
                # A pause between slow inputs says nothing about what the last one brings.
                outputs.idle = 0
            moved = board.taken, board.given
            still = 0 if moved != seen or driver.done else still + 1
            seen = moved
            if still > STUCK_CYCLES:
                board.complain(f"nothing moved for {STUCK_CYCLES} cycles")
        for task in tasks:
            task.cancel()
        if not board.errors:
            board.finish()
        board.check()
        return board

    async def abandon(self, inputs: Sequence[int], cycles: int) -> None:
        """Feed *inputs* for so many cycles and leave it at that; the output is not taken."""
        await self.reset()
        task = cocotb.start_soon(Driver(self.i, cycles).run(inputs, always))
        for _ in range(cycles):
            await self.i.edge
        task.cancel()

    async def _probe(self, sink: Sink, board: Scoreboard) -> None:
        """Turns `o.ready` over for a moment: `o.valid` and the payload must not follow."""
        port, half = FallingEdge(self.dut.clk), PERIOD_PS // 10
        while True:
            await port
            before = self._offer()
            ready = bool(self.o.ready.value)
            self.o.ready.value = not ready
            await Timer(half, unit="ps")
            await ReadOnly()
            if self._offer() != before:
                board.complain("o: what is offered depends on whether it is taken")
            await Timer(half, unit="ps")
            self.o.ready.value = ready

    def _offer(self) -> tuple[bool, int]:
        valid = bool(self.o.valid.value)
        return valid, int(self.o.payload.value) if valid else 0
