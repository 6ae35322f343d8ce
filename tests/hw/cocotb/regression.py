"""What every core goes through: all paces, the stream contract, faults, and the coverage report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from amaranth.lib import wiring
from cocotb.handle import SimHandleBase

from tests.hw.cocotb.bench import Bench
from tests.hw.cocotb.cases import CASES, Case
from tests.hw.cocotb.coverage import Coverage
from tests.hw.cocotb.faults import faults_of
from tests.hw.cocotb.patterns import OFFERS, PATTERNS, Pattern, patterns
from tests.hw.cocotb.scoreboard import Exchange, Model, Scoreboard


class Observer(Protocol):
    """Samples coverage from what crossed the ports of a core that gave the right outputs."""

    coverage: Coverage

    def sample(self, exchanges: Sequence[Exchange]) -> None:
        """Count the bins that *exchanges* hit; they are of one run, in order."""


class Regression:
    """One case in one simulator. LINKSIM_CASE names it, LINKSIM_FORM is short or full, and
    LINKSIM_REPORT is where the coverage goes."""

    def __init__(self, case: Case, form: str, report: Path, model: Model, observer: Observer):
        self.case = case
        self.form = form
        self.path = report
        self.model = model
        self.observer = observer
        self.cycles = 0

    @classmethod
    def of_environment(
        cls,
        model: Callable[[wiring.Component], Model],
        observer: Callable[[Case, Any], Observer],
    ) -> Regression:
        case = CASES[os.environ["LINKSIM_CASE"]]
        made = model(case.core())
        report = Path(os.environ["LINKSIM_REPORT"])
        return cls(case, os.environ["LINKSIM_FORM"], report, made, observer(case, made))

    def sized(self, short: Any, full: Any) -> Any:
        """How much of a stimulus this form takes."""
        return short if self.form == "short" else full

    async def at_every_pace(self, dut: SimHandleBase, inputs: Sequence[int]) -> None:
        """Parts of *inputs* with every pattern of offers and of takes; in full form with every pair
        of them, and all inputs seven times over."""
        pairs = [(offer, "always") for offer in OFFERS]
        pairs += [("always", take) for take in PATTERNS[1:]]
        if self.form == "full":
            pairs = [(offer, take) for offer in OFFERS for take in PATTERNS]
        bench = self._bench(dut)
        parts = self.sized(len(pairs), len(pairs) // 7)
        for number, (offer, take) in enumerate(pairs):
            part = self._part(inputs, number % parts, parts)
            drawn = patterns(10 * number)
            await self._run(bench, part, drawn[offer], patterns(10 * number + 5)[take])

    async def at_random_pace(self, dut: SimHandleBase, inputs: Sequence[int]) -> None:
        """*inputs* without any pause, and with random ones on both sides; in short form one half
        of them each."""
        bench = self._bench(dut)
        calm, wild = inputs, inputs
        if self.form == "short":
            calm, wild = (self._part(inputs, number, 2) for number in range(2))
        await self._run(bench, calm, patterns(0)["always"], patterns(0)["always"])
        await self._run(bench, wild, patterns(1)["bursts"], patterns(2)["half of the cycles"])

    async def reset_within(self, dut: SimHandleBase, inputs: Sequence[int]) -> None:
        """Reset in the middle of a run: nothing of before may come out, or go in, behind it."""
        bench = self._bench(dut)
        for cycles in range(1, 40):
            await bench.abandon(inputs, cycles)
            await bench.run(self._part(inputs, cycles, 40))

    async def probe(self, dut: SimHandleBase, inputs: Sequence[int]) -> None:
        """Whether offers wait for ready, at two paces."""
        bench = self._bench(dut)
        await self._probed(bench, inputs)
        await bench.run(inputs, take=patterns(3)["one cycle in eight"], probe=True)

    async def faults(self, dut: SimHandleBase, inputs: Sequence[int]) -> None:
        """With each fault switched on a run must fail, and with it off again pass."""
        bench = self._bench(dut)
        for number, fault in enumerate(faults_of(self.case.faults), start=1):
            if not self.case.faults:
                return
            dut.fault.value = number
            caught = ""
            try:
                await self._probed(bench, inputs)
            except AssertionError as error:
                caught = str(error)
            assert caught, f"not caught: {fault.name}"
            dut._log.info("caught: %s: %s", fault.name, caught[:200])
            dut.fault.value = 0
            await self._probed(bench, inputs)

    def report(self) -> None:
        """Write the coverage; AssertionError unless it is complete."""
        coverage = self.observer.coverage
        coverage.write(self.path)
        missing = coverage.missing()
        assert not missing, f"{len(missing)} bins were never hit, among them {missing[0]!r}"

    def _bench(self, dut: SimHandleBase) -> Bench:
        if self.case.faults:
            dut.fault.value = 0
        return Bench(dut, self.model, self.case.reset_cycles)

    async def _run(
        self, bench: Bench, inputs: Sequence[int], offer: Pattern, take: Pattern
    ) -> Scoreboard:
        before = bench.cycles
        board = await bench.run(inputs, offer, take)
        self.cycles += bench.cycles - before
        self.observer.sample(board.exchanges)
        return board

    async def _probed(self, bench: Bench, inputs: Sequence[int]) -> None:
        await bench.run(inputs, take=patterns(4)["half of the cycles"], probe=True)

    def _part(self, inputs: Sequence[int], number: int, parts: int) -> list[int]:
        """Part *number* of as many equal ones, in whole messages."""
        messages: list[list[int]] = [[]]
        for payload in inputs:
            messages[-1].append(payload)
            if self.model.completes(messages[-1]):
                messages.append([])
        whole = messages[:-1]
        part = whole[len(whole) * number // parts : len(whole) * (number + 1) // parts]
        return [payload for message in part for payload in message]
