"""From waiting values and their group's scale to codes: one lane per value of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import C, Cat, Mux, Value

from hw.quantizer.arithmetic import (
    exponent,
    limited,
    product,
    shifted_down,
    sign,
    significand,
    sum_with_carry,
    unless,
)
from hw.quantizer.pipeline import Pipeline, Staged
from hw.quantizer.scale import EXPONENT_BITS, Range, Scale
from linksim.codecs.quantize import GroupQuantizer


@dataclass
class Waiting:
    """A value on its group's grid, narrower than its pattern.

    below: exponents from the grid down to the value's; the largest number stands for all that are
    too far below to leave anything. kept: the value is kept as it is elsewhere; a code is in its
    place all the same.
    """

    negative: Staged
    fraction: Staged
    below: Staged
    kept: Staged | None = None


@dataclass
class Coded:
    """The codes of a row and the zero of its group, in one cycle."""

    zero: Staged
    codes: list[Staged]


class _Lanes:
    """Shared by both kinds of zero."""

    def __init__(self, pipe: Pipeline, definition: GroupQuantizer, found: Range, scale: Scale):
        self.pipe, self.definition, self.found, self.scale = pipe, definition, found, scale

    @property
    def furthest(self) -> int:
        """Exponents below the grid at which nothing is left of a value, whatever the scale."""
        raise NotImplementedError

    @property
    def below_bits(self) -> int:
        return self.furthest.bit_length()

    def wait(self, value: Staged, kept: Staged | None) -> Waiting:
        """The value from when its grid is known; one that is *kept* as it is leaves nothing."""
        distance = self.pipe.stage(
            lambda value, grid: grid - exponent(value),
            value,
            self.found.grid,
            width=EXPONENT_BITS,
        )
        below = self.pipe.stage(
            lambda distance, *kept: (
                limited(distance, self.below_bits) | _all_if(self.below_bits, *kept)
            ),
            distance,
            *([kept] if kept else []),
            width=self.below_bits,
        )
        late = Staged(self.pipe.at(value, below.cycle), below.cycle)
        return Waiting(
            Staged(sign(late.value), late.cycle), Staged(late.value[:7], late.cycle), below, kept
        )


def _all_if(width: int, *condition: Value) -> Value:
    return condition[0].replicate(width) if condition else C(0, width)


class PointLanes(_Lanes):
    """Codes around a zero point: the distance from 0 in steps, added to it. Three stages."""

    @property
    def furthest(self) -> int:
        return self.definition.bits + 2

    def build(self, waiting: Sequence[Waiting]) -> Coded:
        pipe, found, bits = self.pipe, self.found, self.definition.bits
        low = Waiting(
            Staged(C(1, 1), 0),
            Staged(found.low.value[:7], found.low.cycle),
            pipe.comb(
                lambda below: limited(below, self.below_bits),
                found.below_low,
                width=self.below_bits,
            ),
        )
        # One value has time for its whole product at once, where a row has to spread its factor.
        whole = pipe.stage(
            self._times,
            low.fraction,
            self.scale.reciprocal,
            self.scale.three,
            width=8 + self.definition.reciprocal_bits,
        )

        def zero_point(product: Value, places: Value, poisoned: Value) -> Value:
            halves = self._halves(product, places)
            rounded = pipe.wire((halves[1:] + halves[0])[: bits + 2])
            return unless(poisoned, limited(rounded, bits))

        zero = pipe.stage(zero_point, whole, self._places(low), found.poisoned, width=bits)
        return Coded(zero, [self._code(value, zero) for value in waiting])

    def _times(self, fraction: Value, reciprocal: Value, three: Value) -> Value:
        return product(reciprocal, three, significand(fraction))

    def _places(self, value: Waiting) -> Staged:
        """How far a product is shifted beyond what every product is."""
        return self.pipe.stage(
            lambda below, offset: below + offset,
            value.below,
            self.scale.offset,
            width=self.below_bits + 1,
        )

    def _halves(self, product: Value, places: Value) -> Value:
        """The value in half steps, cut."""
        definition = self.definition
        least = definition.reciprocal_bits + 6 - definition.bits
        return shifted_down(product[least:], places, definition.bits + 2)

    def _code(self, value: Waiting, zero: Staged) -> Staged:
        pipe, bits = self.pipe, self.definition.bits
        width = self.definition.reciprocal_bits

        def lower_half(fraction: Value, reciprocal: Value, three: Value) -> Value:
            return product(reciprocal, three, fraction[:4])

        def upper_half(fraction: Value, reciprocal: Value, three: Value) -> Value:
            return product(reciprocal, three, significand(fraction)[4:])

        factors = (value.fraction, self.scale.reciprocal, self.scale.three)
        parts = [pipe.stage(half, *factors, width=width + 4) for half in (upper_half, lower_half)]

        def halves_of(upper: Value, lower: Value, places: Value) -> Value:
            return self._halves(pipe.wire(((upper << 4) + lower)[: 8 + width]), places)

        halves = pipe.stage(halves_of, *parts, self._places(value), width=bits + 2)

        def code(halves: Value, negative: Value, zero: Value, poisoned: Value) -> Value:
            distance = Cat(halves[1:], C(0, 2)) ^ negative.replicate(bits + 3)
            total = pipe.wire(sum_with_carry(distance, zero, halves[0] ^ negative, bits + 3))
            return unless(poisoned | total[bits + 2], limited(total[: bits + 2], bits))

        return pipe.stage(code, halves, value.negative, zero, self.found.poisoned, width=bits)


class MinimumLanes(_Lanes):
    """Codes above the minimum: the distance from it in units of a fraction of a step, times the
    reciprocal. Five stages.
    """

    @property
    def furthest(self) -> int:
        return self.definition.bits + self.definition.guard_bits + 10

    @property
    def unit(self) -> int:
        """Places to the left of a significand on the window."""
        return self.definition.bits + self.definition.guard_bits + 2

    def build(self, waiting: Sequence[Waiting]) -> Coded:
        pipe, found = self.pipe, self.found
        width = self.definition.difference_bits

        def low_halves(low: Value, below: Value, offset: Value) -> Value:
            places = limited(below, self.below_bits) + offset
            return self._halves(low, places)

        halves = pipe.stage(
            low_halves, found.low, found.below_low, self.scale.offset, width=width + 1
        )

        def less_low(halves: Value, low: Value) -> Value:
            rounded = (halves[1:] + halves[0])[:width]
            return Mux(sign(low), rounded, (-rounded)[:width])

        less = pipe.stage(less_low, halves, found.low, width=width)
        codes = [self._code(value, less) for value in waiting]
        zero = pipe.comb(
            lambda low, poisoned: Mux(poisoned, self.definition.poisoned_zero, low),
            found.low,
            found.poisoned,
            width=16,
        )
        return Coded(zero, codes)

    def _halves(self, fraction: Value, places: Value) -> Value:
        """A magnitude on the window in half units, cut."""
        wide = Cat(C(0, self.unit), significand(fraction))
        return shifted_down(wide, places, self.definition.difference_bits + 1)

    def _code(self, value: Waiting, less: Staged) -> Staged:
        pipe, definition = self.pipe, self.definition
        bits, width = definition.bits, definition.difference_bits
        places = pipe.stage(
            lambda below, offset: below + offset,
            value.below,
            self.scale.offset,
            width=self.below_bits + 1,
        )
        halves = pipe.stage(self._halves, value.fraction, places, width=width + 1)

        def above_low(halves: Value, negative: Value, less: Value, *kept: Value) -> Value:
            magnitude = halves[1:] ^ negative.replicate(width)
            distance = sum_with_carry(magnitude, less, halves[0] ^ negative, width)
            return unless(kept[0], distance) if kept else distance

        kept = [value.kept] if value.kept else []
        distance = pipe.stage(above_low, halves, value.negative, less, *kept, width=width)
        dropped = definition.reciprocal_bits + definition.guard_bits

        def lower_half(distance: Value, reciprocal: Value, three: Value) -> Value:
            return product(reciprocal, three, distance[:4]) + (1 << (dropped - 1))

        def upper_half(distance: Value, reciprocal: Value, three: Value) -> Value:
            return product(reciprocal, three, distance[4:])

        factors = (distance, self.scale.reciprocal, self.scale.three)
        total = definition.difference_bits + definition.reciprocal_bits
        parts = (
            pipe.stage(upper_half, *factors, width=total - 4),
            pipe.stage(lower_half, *factors, width=dropped + 1),
        )

        def code(upper: Value, lower: Value, poisoned: Value) -> Value:
            steps = pipe.wire(((upper << 4) + lower)[dropped : total + 1])
            return unless(poisoned, limited(steps, bits))

        return pipe.stage(code, *parts, self.found.poisoned, width=bits)
