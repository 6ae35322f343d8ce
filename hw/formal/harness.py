"""What surrounds a component in a proof: free inputs, assumptions, checks and reachable events."""

from __future__ import annotations

from amaranth import Cat, Elaboratable, Module, ResetSignal, Signal, Value
from amaranth.asserts import AnyConst, AnySeq, Initial
from amaranth.hdl import Assert, Assume, Cover, ShapeLike
from amaranth.lib import wiring


class Harness(Elaboratable):
    """The top of a proof. A subclass says in `describe` what surrounds the component.

    Registers start with *any* value and reset is 1 in cycle 0 and 0 afterwards, as in hardware: so
    nothing is proven that rests on values that only a simulator begins with, and a register that is
    not reset holds anything. Checks do not count in cycle 0.
    """

    any_start = True
    """Registers start with any value; otherwise with what a simulator gives them."""

    lean = False
    """Leave out what no check depends on, be it shown in a counterexample or not."""

    def __init__(self) -> None:
        self.checks: dict[str, str] = {}
        """Sentence of every check, by the name of the signal that is 0 where it is broken."""
        self.events: list[str] = []
        """Events that must be reachable: a proof in which they are not proves nothing."""
        self.shown: list[str] = []
        """Signals of a counterexample worth printing, in this order."""
        self.spies: dict[str, str] = {}
        """Registers inside the component (hierarchical name) by the name of the signal that shows
        them here."""

    def describe(self, m: Module) -> None:
        """Adds the component, what is assumed and what is checked."""
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += Assume(ResetSignal() == Initial())
        self.describe(m)
        if not self.checks:
            raise ValueError("a proof without a check")
        return m

    def free(self, m: Module, shape: ShapeLike, name: str) -> Signal:
        """A signal of any value in any cycle."""
        return self._any(m, shape, name, AnySeq)

    def constant(self, m: Module, shape: ShapeLike, name: str) -> Signal:
        """A signal of any value, the same in all cycles."""
        return self._any(m, shape, name, AnyConst)

    def _any(self, m: Module, shape: ShapeLike, name: str, kind: type[Value]) -> Signal:
        signal = Signal(shape, name=name)
        raw = Value.cast(signal)
        if len(raw):
            m.d.comb += raw.eq(kind(len(raw)))
        self.shown.append(name)
        return signal

    def show(self, m: Module, value: Value, name: str) -> Signal:
        """*value* under a name of its own, in counterexamples too."""
        raw = Value.cast(value)
        signal = Signal(len(raw), name=name)
        m.d.comb += signal.eq(raw)
        self.shown.append(name)
        return signal

    def spy(self, m: Module, shape: ShapeLike, path: str) -> Signal:
        """A register of the component, by its hierarchical name: `dut.room`."""
        name = "spy_" + path.replace(".", "_")
        self.spies[name] = path
        return self.free(m, shape, name)

    def free_inputs(self, m: Module, component: wiring.Component, *, but: set[str] = frozenset()):
        """Drive every input with any value: one left undriven would be 0, and the proof empty."""
        for path, member, value in component.signature.flatten(component):
            name = "__".join(map(str, path))
            raw = Value.cast(value)
            if member.flow == wiring.In and path[0] not in but and name not in but and len(raw):
                m.d.comb += raw.eq(self.free(m, len(raw), name))

    def assume(self, m: Module, condition: Value) -> None:
        m.d.comb += Assume(condition)

    def check(self, m: Module, name: str, condition: Value, sentence: str) -> None:
        """*condition* must hold in every cycle but that of reset."""
        signal = Signal(name=f"check_{name}")
        m.d.comb += signal.eq(ResetSignal() | Value.cast(condition).any())
        m.d.comb += Assert(signal)
        self.checks[signal.name] = sentence

    def reach(self, m: Module, name: str, condition: Value) -> None:
        """*condition* must hold in some cycle of some run."""
        signal = Signal(name=f"event_{name}")
        m.d.comb += signal.eq(~ResetSignal() & Value.cast(condition).any())
        m.d.comb += Cover(signal)
        self.events.append(name)

    def delayed(self, m: Module, value: Value, cycles: int, name: str) -> Signal:
        """*value* as it was *cycles* ago; anything in the first cycles."""
        value = Value.cast(value)
        for cycle in range(cycles):
            held = Signal(len(value), name=f"{name}_{cycle + 1}_ago", reset_less=True)
            m.d.sync += held.eq(value)
            value = held
        return value

    def cycle(self, m: Module, most: int) -> Signal:
        """Cycles since reset, counted up to *most*."""
        counter = Signal(range(most + 1), name="cycles")
        m.d.sync += counter.eq(counter + (counter != most))
        return counter


def bit_at(bits: Value, position: Value) -> Value:
    """Bit *position* of *bits*, 0 behind its end."""
    return (Cat(bits) >> position)[0]
