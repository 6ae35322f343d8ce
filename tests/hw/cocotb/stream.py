"""Both ends of a stream in cocotb, and a monitor that checks its contract.

All of them look right at the rising edge, where flip-flops still hold what they held before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from cocotb.handle import SimHandleBase
from cocotb.triggers import RisingEdge

from tests.hw.cocotb.patterns import Pattern


@dataclass(frozen=True)
class Transfer:
    """What crossed a stream."""

    payload: int
    cycle: int
    refused: int
    """Cycles that it was offered and not taken."""


class Port:
    """The three signals of stream *name*."""

    def __init__(self, dut: SimHandleBase, name: str):
        self.name = name
        self.edge = RisingEdge(dut.clk)
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.payload = getattr(dut, f"{name}__payload")
        self.bits = len(self.payload)


class Driver:
    """Offers payloads, with bubbles where its pattern has them and rubbish on the port in those."""

    def __init__(self, port: Port, seed: int):
        self.port = port
        self.random = Random(seed)  # noqa: S311
        self.done = False

    async def run(self, payloads: Sequence[int], offer: Pattern) -> None:
        port, cycle = self.port, 0
        for payload in payloads:
            while not offer(cycle, False):
                port.valid.value = 0
                port.payload.value = self.random.getrandbits(port.bits)
                await port.edge
                cycle += 1
            port.valid.value = 1
            port.payload.value = payload
            while True:
                await port.edge
                cycle += 1
                if port.ready.value:
                    break
        port.valid.value = 0
        port.payload.value = self.random.getrandbits(port.bits)
        self.done = True


class Sink:
    """Takes payloads where its pattern says so."""

    def __init__(self, port: Port):
        self.port = port
        self.ready = False
        """What it drove in the cycle that ended last."""

    async def run(self, take: Pattern) -> None:
        port, cycle, waiting = self.port, 0, False
        while True:
            ready = take(cycle, waiting)
            port.ready.value = ready
            await port.edge
            cycle += 1
            self.ready = ready
            waiting = bool(port.valid.value) and not ready


class Monitor:
    """Watches a stream: reports transfers, and breaches of the contract.

    The contract: what is offered stays on offer, unchanged, until it is taken.
    """

    def __init__(
        self,
        port: Port,
        report: Callable[[Transfer], None],
        complain: Callable[[str], None],
    ):
        self.port = port
        self.report = report
        self.complain = complain
        self.idle = 0
        """Cycles since the last offer."""

    async def run(self) -> None:
        port, cycle, refused, offered = self.port, 0, 0, 0
        while True:
            await port.edge
            valid, ready = bool(port.valid.value), bool(port.ready.value)
            if not valid:
                if refused:
                    self.complain(f"{port.name}: an offer was withdrawn in cycle {cycle}")
                self.idle += 1
                refused = 0
            else:
                payload = int(port.payload.value)
                if refused and payload != offered:
                    self.complain(f"{port.name}: a waiting payload changed in cycle {cycle}")
                self.idle = 0
                if ready:
                    self.report(Transfer(payload, cycle, refused))
                    refused = 0
                else:
                    refused, offered = refused + 1, payload
            cycle += 1
