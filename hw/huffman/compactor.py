"""Units moved together over the empty places between them."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class Compactor(wiring.Component):
    """Every unit moves down by as many places as are empty before it, a power of two at a time.

    Units that keep their order never meet: of two, the distance shrinks by less than their steps.

    Latency 2 cycles, one row a cycle.

    Members
    -------
    units: In. skipped: In, empty places before each; of an empty place it means nothing.
    filled: In, a bit per place.
    row: Out, the units without gaps; what stands behind them is open.
    """

    latency = 2

    def __init__(self, *, places: int, unit_bits: int, first_levels: int):
        self.places = places
        self.unit_bits = unit_bits
        self.levels = (places - 1).bit_length()
        self.first_levels = min(first_levels, self.levels)
        super().__init__(
            {
                "units": In(data.ArrayLayout(unit_bits, places)),
                "skipped": In(data.ArrayLayout(range(places), places)),
                "filled": In(places),
                "row": Out(data.ArrayLayout(unit_bits, places)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A place without unit must not send one: it has nowhere to go.
        items = [
            (unit, skipped & self.filled[place].replicate(len(skipped)))
            for place, (unit, skipped) in enumerate(zip(self.units, self.skipped, strict=True))
        ]
        for level in range(self.first_levels):
            items = self._moved(m, items, level)
        items = [
            tuple(self._held(m, part, f"middle{place}_{k}") for k, part in enumerate(item))
            for place, item in enumerate(items)
        ]
        for level in range(self.first_levels, self.levels):
            items = self._moved(m, items, level)
        m.d.sync += self.row.eq(Cat(*(unit for unit, _ in items)))
        return m

    @staticmethod
    def _held(m: Module, value, name: str) -> Signal:
        register = Signal(len(value), name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register

    def _moved(self, m: Module, items: list, level: int) -> list:
        """One level: units whose lowest step bit is set move, and that bit is done with."""
        step = 1 << level
        moved = []
        for place, (unit, steps) in enumerate(items):
            rest = steps[1:] & (~steps[0]).replicate(len(steps) - 1)
            if place + step < self.places:
                coming, further = items[place + step]
                arrives = further[0]
                unit = Mux(arrives, coming, unit)
                rest = Mux(arrives, further[1:], rest)
            named = (
                Signal(self.unit_bits, name=f"unit{level}_{place}"),
                Signal(len(steps) - 1, name=f"steps{level}_{place}"),
            )
            m.d.comb += [named[0].eq(unit), named[1].eq(rest)]
            moved.append(named)
        return moved
