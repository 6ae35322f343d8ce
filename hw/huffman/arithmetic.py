"""Small arrangements of adders and selections that several parts of the encoder share."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value


def registered(m: Module, value: Value, name: str, *, reset_less: bool = True) -> Signal:
    """*value* a cycle later."""
    register = Signal(Value.cast(value).shape(), name=name, reset_less=reset_less)
    m.d.sync += register.eq(value)
    return register


def settled(m: Module, cycles: int) -> Signal:
    """Low for so many cycles from reset on: what registers held before has left a pipeline."""
    waited, over = Signal(range(cycles), name="waited"), Signal(name="settled")
    with m.If(~over):
        m.d.sync += [waited.eq(waited + 1), over.eq(waited == cycles - 1)]
    return over


def prefix_level(sums: Sequence[Value], level: int) -> list[Value]:
    """One level of a parallel prefix sum (Sklansky): level 0 adds neighbours, level 1 pairs, ..."""
    size = 1 << level
    return [
        value + sums[place // size * size - 1] if place & size else value
        for place, value in enumerate(sums)
    ]


def carry_saved(a: Value, b: Value, c: Value) -> tuple[Value, Value]:
    """Two numbers with the sum of three, in as many bits; no carry runs through them."""
    return a ^ b ^ c, Cat(Const(0, 1), (a & b) | (a & c) | (b & c))[: len(a)]


def two_prefix_levels(sums: Sequence[Value], level: int) -> list[Value]:
    """`prefix_level` for *level* and the next, with one carry chain instead of two."""
    size = 1 << level
    bits = max(map(len, sums)) + 2

    def wide(value: Value) -> Value:
        return Cat(value, Const(0, bits))[:bits]

    results = []
    for place, value in enumerate(sums):
        first, group = place // (4 * size) * (4 * size), place // size % 4
        added = [wide(sums[first + (block + 1) * size - 1]) for block in range(group)]
        # What all places share goes first.
        if group == 3:
            added = list(carry_saved(*added))
        if group >= 2:
            added = list(carry_saved(*added, wide(value)))
        else:
            added.append(wide(value))
        results.append((added[0] + added[1])[:bits] if len(added) == 2 else value)
    return results


def prefix_levels(sums: Sequence[Value], first: int, until: int) -> list[Value]:
    """`prefix_level` for all levels from *first* on and below *until*."""
    if (until - first) % 2:
        sums = prefix_level(sums, first)
        first += 1
    for level in range(first, until, 2):
        sums = two_prefix_levels(sums, level)
    return list(sums)


def added(values: Sequence[Value], levels: int) -> list[Value]:
    """So many levels of a tree that adds neighbours."""
    if levels % 2:
        values = [a + b for a, b in zip(values[0::2], values[1::2], strict=True)]
    for _ in range(levels // 2):
        bits = max(map(len, values)) + 2
        wide = [Cat(value, Const(0, bits))[:bits] for value in values]
        fours = zip(wide[0::4], wide[1::4], wide[2::4], wide[3::4], strict=True)
        pairs = [carry_saved(*carry_saved(a, b, c), d) for a, b, c, d in fours]
        values = [(some + carries)[:bits] for some, carries in pairs]
    return list(values)


def picked(chosen: Sequence[Value], values: Sequence[Value]) -> Value:
    """The value that is chosen, by at most one bit; 0 where none is."""
    level = [Mux(one, value, 0) for one, value in zip(chosen, values, strict=True)]
    while len(level) > 1:
        pairs = [a | b for a, b in zip(level[0::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def below(limit: Value, places: int) -> Value:
    """One bit per place, set in the lowest *limit*."""
    return Cat(*(Const(place) < limit for place in range(places)))


def rotated(m: Module, bits: Value, units: Value, unit_bits: int, name: str) -> Value:
    """*bits* turned upwards by a number of units; what leaves at the top returns at the bottom."""
    for step, turned in enumerate(units):
        shift = unit_bits << step
        # Each step is named: as an expression it would be written out wherever it is sliced.
        before = Signal(len(bits), name=f"{name}{step}")
        m.d.comb += before.eq(bits)
        bits = Mux(turned, Cat(before[-shift:], before[:-shift]), before)
    return bits
