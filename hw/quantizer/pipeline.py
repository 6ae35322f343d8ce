"""Values that know the cycle in which they exist, so that registers are counted by the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from amaranth import Module, Mux, Signal, Value


@dataclass(eq=False)
class Staged:
    """A value and the cycle, counted from the input's, in which it belongs to that input."""

    value: Value
    cycle: int
    _next: Staged | None = field(default=None, repr=False)


class Pipeline:
    """Builds a pipeline without flow control in the module *m*.

    Operands of one expression are delayed to the latest of them; a delay that several expressions
    need exists once. Data has no reset: what marks it as valid has.
    """

    def __init__(self, m: Module):
        self.m = m

    def wire(self, value: Value) -> Signal:
        """A name for *value*: an expression that is used twice would be built twice."""
        wire = Signal(len(value))
        self.m.d.comb += wire.eq(value)
        return wire

    def at(self, staged: Staged, cycle: int, *, reset: bool = False) -> Value:
        """*staged* as it stands in *cycle*, not before its own."""
        if cycle < staged.cycle:
            raise ValueError(f"cycle is {cycle}: expected at least {staged.cycle}")
        while staged.cycle < cycle:
            if staged._next is None:
                late = Signal(len(staged.value), reset_less=not reset)
                self.m.d.sync += late.eq(staged.value)
                staged._next = Staged(late, staged.cycle + 1)
            staged = staged._next
        return staged.value

    def comb(self, function: Callable[..., Value], *operands: Staged, width: int) -> Staged:
        """*function* of the operands, in the cycle of the latest; its lowest *width* bits."""
        cycle = max(operand.cycle for operand in operands)
        result = Signal(width, name=_name(function))
        self.m.d.comb += result.eq(function(*(self.at(operand, cycle) for operand in operands)))
        return Staged(result, cycle)

    def stage(
        self,
        function: Callable[..., Value],
        *operands: Staged,
        width: int,
        enable: Staged | None = None,
    ) -> Staged:
        """As `comb`, then a register. One with *enable* keeps its value while that is 0."""
        now = self.comb(function, *operands, width=width)
        result = Signal(width, name=f"{_name(function)}_register", reset_less=True)
        value: Value = now.value
        if enable is not None:
            value = Mux(self.at(enable, now.cycle, reset=True), value, result)
        self.m.d.sync += result.eq(value)
        return Staged(result, now.cycle + 1)


def _name(function: Callable[..., Value]) -> str:
    """What the result of *function* is called in Verilog."""
    return getattr(function, "__name__", "value").strip("_<>")
