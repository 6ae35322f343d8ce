"""Any component with one stream in and one out, in Amaranth's simulator, as a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

Pattern = Callable[[int], bool]
"""Whether a side takes part in cycle number n."""


def always(cycle: int) -> bool:
    return True


def seldom(numerator: int, denominator: int, seed: int) -> Pattern:
    """Takes part in *numerator* of *denominator* cycles, at random but the same every time."""
    draws = np.random.default_rng(seed).integers(0, denominator, 4096)
    return lambda cycle: bool(draws[cycle % 4096] < numerator)


@dataclass
class Transfers:
    """What crossed the two streams, and when."""

    taken: list[int] = field(default_factory=list)
    """Cycle in which each input was taken."""
    given: list[tuple[int, Any]] = field(default_factory=list)
    """Cycle and payload of each output."""
    waits: list[int] = field(default_factory=list)
    """Cycles in which an input was offered and not taken."""

    @property
    def stalls(self) -> int:
        return len(self.waits)


class StreamSimulation:
    """One component with streams `i` and `o`, elaborated once; every `run` starts from reset.

    The output is checked for the stream contract: what is offered stays, and unchanged.
    """

    def __init__(self, dut: wiring.Component):
        self.dut = dut
        self.reset = Signal()
        self.reset_at: int | None = None
        """Cycle in which `reset` is 1."""
        self.simulator = Simulator(ResetInserter(self.reset)(dut))
        self.simulator.add_clock(1e-9)
        self.simulator.add_testbench(self._feed)
        self.simulator.add_testbench(self._collect)
        self.started = False

    def run(
        self,
        inputs: Sequence[Any],
        offer: Pattern = always,
        take: Pattern = always,
        idle: int = 100,
    ) -> Transfers:
        """Feed *inputs* (payload constants); end after *idle* cycles without output."""
        self.inputs, self.offer, self.take, self.idle = list(inputs), offer, take, idle
        self.transfers = Transfers()
        if self.started:
            self.simulator.reset()
        self.started = True
        self.simulator.run()
        return self.transfers

    async def _feed(self, ctx) -> None:
        stream, cycle = self.dut.i, 0
        for payload in self.inputs:
            while not self.offer(cycle):
                ctx.set(stream.valid, 0)
                await ctx.tick()
                cycle += 1
            ctx.set(stream.valid, 1)
            ctx.set(stream.payload, payload)
            while True:
                _, _, ready = await ctx.tick().sample(stream.ready)
                cycle += 1
                if ready:
                    break
                self.transfers.waits.append(cycle - 1)
            self.transfers.taken.append(cycle - 1)
        ctx.set(stream.valid, 0)

    async def _collect(self, ctx) -> None:
        stream, cycle, idle = self.dut.o, 0, 0
        raw = Value.cast(stream.payload)
        refused = None
        while len(self.transfers.taken) < len(self.inputs) or idle < self.idle:
            taking = self.take(cycle)
            ctx.set(stream.ready, taking)
            ctx.set(self.reset, cycle == self.reset_at)
            _, _, valid, payload, bits = await ctx.tick().sample(stream.valid, stream.payload, raw)
            if refused is not None:
                assert valid, "an offered payload was withdrawn"
                assert bits == refused, "an offered payload changed"
            refused = bits if valid and not taking else None
            idle = 0 if valid or len(self.transfers.taken) < len(self.inputs) else idle + 1
            if valid and taking:
                self.transfers.given.append((cycle, payload))
            if cycle == self.reset_at:
                refused = None
            cycle += 1
