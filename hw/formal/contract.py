"""The stream contract at the ports of a component."""

from __future__ import annotations

from collections.abc import Callable

from amaranth import Module, Signal, Value
from amaranth.lib import wiring

from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.prove import Mutant, Property


class StreamContract(Harness):
    """What is offered at `o` stays, unchanged, until it is taken, and does not wait for that.

    The other sides keep to the contract too: what they offer at `i` stays. `o.ready` is free, and
    so is every other input.
    """

    def __init__(
        self,
        dut: wiring.Component,
        surround: Callable[[Harness, Module, wiring.Component], None] | None = None,
    ):
        super().__init__()
        self.dut = dut
        self.surround = surround
        """Adds what else is assumed of the inputs."""

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        hold_input(self, m, dut.i)
        if self.surround:
            self.surround(self, m, dut)
        valid, ready = self.show(m, dut.o.valid, "o_valid"), dut.o.ready
        payload = self.show(m, dut.o.payload, "o_payload")
        self.show(m, dut.i.ready, "i_ready")
        waiting = Signal()
        m.d.sync += waiting.eq(valid & ~ready)
        before = self.delayed(m, payload, 1, "payload")
        self.check(m, "valid_stays", ~waiting | valid, "what is offered is not withdrawn")
        self.check(
            m, "payload_stays", ~waiting | (payload == before), "what is offered does not change"
        )
        was_ready = Signal()
        m.d.sync += was_ready.eq(was_ready | ready)
        self.reach(m, "valid_before_ready", waiting & valid & ~ready & ~was_ready)
        self.reach(m, "transfer_after_waiting", waiting & valid & ready)


def hold_input(harness: Harness, m: Module, stream: wiring.PureInterface) -> None:
    """Assume that what is offered to the component stays until it is taken."""
    held = Signal()
    payload = Value.cast(stream.payload)
    m.d.sync += held.eq(stream.valid & ~stream.ready)
    before = harness.delayed(m, payload, 1, "i_payload")
    harness.assume(m, ~held | stream.valid)
    harness.assume(m, ~held | (payload == before))


def leak(cls: type) -> Mutant:
    """One bit of what *cls* offers follows its input at once, and so does not wait."""

    def add(m: Module, component: wiring.Component) -> None:
        m.d.comb += component.o.payload.as_value()[0].eq(component.i.payload.as_value()[0])

    return statement("one bit does not wait", cls, add)


def contract(
    name: str,
    build: Callable[[], wiring.Component],
    mutant: Mutant,
    *,
    depth: int,
    induction: int | None = 2,
    surround: Callable[[Harness, Module, wiring.Component], None] | None = None,
) -> Property:
    """The stream contract of a component, by induction unless there is none."""
    return Property(
        name=f"contract-{name}",
        sentence="what is offered stays and does not change; it does not wait for ready",
        build=lambda: StreamContract(build(), surround),
        depth=depth,
        induction=induction,
        mutants=(mutant,),
    )
