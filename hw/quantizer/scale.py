"""From a group's extremes to its scale and the reciprocal that codes are made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amaranth import C, Cat, Mux, Signal, Value
from amaranth.lib import data

from hw.quantizer.arithmetic import (
    exponent,
    limited,
    sign,
    significand,
    sum_with_carry,
    unless,
)
from hw.quantizer.extremes import Extremes
from hw.quantizer.pipeline import Pipeline, Staged
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.quantize.definition import (
    ALIGNED_BITS,
    LEAST_EXPONENT,
    RANGE_FRACTION_BITS,
)

EXPONENT_BITS = 8
FRACTION_BITS = 7
LEAST_BITS = LEAST_EXPONENT.bit_length() - 1
"""The least exponent of a grid is a power of two."""


@dataclass
class Range:
    """A group's range on the grid of its largest exponent; all stand for every row of the group.

    grid: exponent of the grid. low, high: the ends. below_low, below_high: exponents from the grid
    down to theirs. poisoned: a value is not finite. spikes: those of the extremes.
    """

    grid: Staged
    low: Staged
    high: Staged
    below_low: Staged
    below_high: Staged
    poisoned: Staged
    spikes: dict[str, Staged]


@dataclass
class Scale:
    """A group's scale, which also stands for every row.

    three: three times the reciprocal. offset: how much further a value is shifted than by its
    exponent's distance from the grid.
    """

    pattern: Staged
    offset: Staged
    reciprocal: Staged
    three: Staged


@dataclass(frozen=True)
class ScaleStep:
    """What follows from a normalised range."""

    carry: int
    fraction: int
    reciprocal: int


def scale_step(definition: GroupQuantizer, reach: int) -> ScaleStep:
    """Carry into the exponent, fraction and reciprocal of the scale for a normalised range."""
    kept = definition.scale_fraction_bits
    dropped = definition.range_bits - 1 - kept
    wide = (reach * definition.range_factor) >> RANGE_FRACTION_BITS
    rounded = (wide + (1 << (dropped - 1))) >> dropped
    carry = rounded >> (kept + 1) != 0
    if carry:
        rounded = (wide + (1 << dropped)) >> (dropped + 1)
    fraction = (rounded << (FRACTION_BITS - kept)) % (1 << FRACTION_BITS)
    return ScaleStep(carry, fraction >> (FRACTION_BITS - kept), definition.reciprocals[fraction])


@dataclass(frozen=True)
class Bin:
    """Normalised ranges that share their top bits: *below* to the threshold, *above* from it on."""

    threshold: int
    below: ScaleStep
    above: ScaleStep


def scale_bins(definition: GroupQuantizer) -> tuple[int, tuple[Bin, ...]]:
    """The low bits that a bin leaves open, and the bins: the widest in which one step lies."""
    bits = definition.range_bits
    steps = [scale_step(definition, reach) for reach in range(1 << bits)]
    edges = [reach for reach in range(1, 1 << bits) if steps[reach] != steps[reach - 1]]
    for low in range(bits - 1, 0, -1):
        inside: dict[int, int] = {}
        # A step at the very start of a bin is none inside it.
        for edge in edges:
            if edge % (1 << low):
                inside[edge >> low] = inside.get(edge >> low, 0) + 1
        if max(inside.values(), default=0) <= 1:
            break
    thresholds = {edge >> low: edge % (1 << low) for edge in edges if edge % (1 << low)}
    bins = []
    for number in range(1 << (bits - low)):
        first = number << low
        bins.append(Bin(thresholds.get(number, 0), steps[first], steps[first + (1 << low) - 1]))
    return low, tuple(bins)


def find_range(
    pipe: Pipeline, definition: GroupQuantizer, extremes: Extremes, *, rows: int
) -> Range:
    """The range of a group of *rows* rows: one stage."""
    # Nothing is left of an aligned end 15 places down; lanes around a zero point look no further.
    below_bits = 4 if definition.has_zero_point else 5
    # Where a group has several rows, what follows from it must stand until the last has passed.
    enable = extremes.complete if rows > 1 else None
    low, high, spikes = extremes.low, extremes.high, extremes.spikes

    def stage(function: Callable[..., Value], *operands: Staged, width: int) -> Staged:
        return pipe.stage(function, *operands, width=width, enable=enable)

    def standing(staged: Staged) -> Staged:
        return stage(_same, staged, width=len(staged.value))

    high_is_top = pipe.comb(lambda low, high: exponent(high) >= exponent(low), low, high, width=1)
    top = pipe.comb(
        lambda high_is_top, low, high: Mux(high_is_top, exponent(high), exponent(low)),
        high_is_top,
        low,
        high,
        width=EXPONENT_BITS,
    )
    small = pipe.comb(
        lambda low, high: ~(exponent(low) | exponent(high))[LEAST_BITS:].any(), low, high, width=1
    )

    def below(small: Value, end: Value, other: Value) -> Value:
        # If all exponents are below the least, none has bits above that.
        least = LEAST_EXPONENT - exponent(end)[:LEAST_BITS]
        distance = pipe.wire(Mux(small, least, exponent(other) - exponent(end))[:9])
        return unless(distance[-1], limited(distance[:-1], below_bits))

    return Range(
        grid=stage(
            lambda small, top: Mux(small, LEAST_EXPONENT, top), small, top, width=EXPONENT_BITS
        ),
        low=standing(low),
        high=standing(high),
        below_low=stage(below, small, low, high, width=below_bits),
        below_high=stage(below, small, high, low, width=below_bits),
        poisoned=stage(
            lambda low, high: exponent(low).all() | exponent(high).all(),
            spikes.get("low", low),
            spikes.get("high", high),
            width=1,
        ),
        spikes={name: standing(spike) for name, spike in spikes.items()},
    )


def _same(value: Value) -> Value:
    return value


def find_scale(pipe: Pipeline, definition: GroupQuantizer, found: Range) -> Scale:
    """The scale that covers a range: three stages, and one more where the minimum is the zero."""
    reach = _reach(pipe, definition, found)
    most = definition.most_leading_zeros
    bits = definition.range_bits

    def leading_zeros(reach: Value) -> Value:
        zeros = C(most, most.bit_length())
        for bit in range(bits - most, bits):
            zeros = Mux(reach[bit], bits - 1 - bit, zeros)
        return zeros

    zeros = pipe.comb(leading_zeros, reach, width=most.bit_length())
    # Nine places and the look-up are too much for one stage, one place is not.
    normalise = pipe.comb if definition.has_zero_point else pipe.stage
    normal = normalise(lambda reach, zeros: reach << zeros, reach, zeros, width=bits)
    step = _looked_up(pipe, definition, reach, zeros, normal)
    kept = definition.scale_fraction_bits
    carry = Staged(step.value[0], step.cycle)
    fraction = Staged(step.value[1 : kept + 1], step.cycle)
    # carry - zeros, as a number that is never negative
    offset = pipe.stage(
        lambda zeros: most - zeros,
        Staged(pipe.at(zeros, step.cycle - 1), step.cycle - 1),
        width=most.bit_length(),
    )
    lifted = pipe.comb(
        lambda offset, carry: offset + carry, offset, carry, width=(most + 1).bit_length()
    )

    def pattern(grid: Value, offset: Value, fraction: Value) -> Value:
        exponent = (grid + offset + (1 - definition.bits - most))[:EXPONENT_BITS]
        return Cat(C(0, FRACTION_BITS - kept), fraction, exponent, C(0, 1))

    return Scale(
        pattern=pipe.stage(pattern, found.grid, lifted, fraction, width=16),
        offset=lifted,
        reciprocal=Staged(step.value[1 + kept :][: definition.reciprocal_bits], step.cycle),
        three=Staged(step.value[1 + kept + definition.reciprocal_bits :], step.cycle),
    )


def _reach(pipe: Pipeline, definition: GroupQuantizer, found: Range) -> Staged:
    """high - low on the grid."""

    def aligned(end: Value, below: Value) -> Value:
        wide = Cat(C(0, ALIGNED_BITS - 8), significand(end))
        return wide >> below

    low = pipe.comb(aligned, found.low, found.below_low, width=ALIGNED_BITS)
    high = pipe.comb(aligned, found.high, found.below_high, width=ALIGNED_BITS)
    if definition.has_zero_point:
        return pipe.stage(lambda low, high: low + high, low, high, width=definition.range_bits)
    low, high = (Staged(pipe.at(end, low.cycle + 1), low.cycle + 1) for end in (low, high))

    def difference(low: Value, high: Value, low_end: Value, high_end: Value) -> Value:
        # The ends are ordered, so of equal signs the smaller magnitude is to be taken away.
        same, negative = sign(low_end) == sign(high_end), sign(high_end)
        larger, smaller = Mux(negative, low, high), Mux(negative, high, low)
        inverted = Cat(smaller ^ same.replicate(ALIGNED_BITS), same)
        return sum_with_carry(larger, inverted, same, definition.range_bits)

    return pipe.stage(difference, low, high, found.low, found.high, width=definition.range_bits)


def _looked_up(
    pipe: Pipeline, definition: GroupQuantizer, reach: Staged, zeros: Staged, normal: Staged
) -> Staged:
    """Carry, fraction, reciprocal and its triple for a normalised range: two stages.

    A look-up by the top bits, then a comparison of the others with a threshold.
    """
    kept = definition.scale_fraction_bits
    low_bits, bins = scale_bins(definition)
    bits = definition.reciprocal_bits
    width = 1 + kept + bits + bits + 2

    def packed(step: ScaleStep) -> int:
        reciprocals = step.reciprocal | 3 * step.reciprocal << bits
        return step.carry | step.fraction << 1 | reciprocals << (1 + kept)

    layout = data.StructLayout({"threshold": low_bits, "below": width, "above": width})
    entries = [(known.threshold, packed(known.below), packed(known.above)) for known in bins]

    def entry(top: Value) -> Value:
        return _entry(pipe, layout, entries, top)

    def either_entry(reach: Value, zeros: Value) -> Value:
        # Looked up for both numbers of places at once, so that the look-up need not wait.
        unmoved = entry(Cat(reach[low_bits:-1], C(1, 1)))
        return Mux(zeros[0], entry((reach << 1)[low_bits : len(reach)]), unmoved)

    if definition.has_zero_point:
        packed_entry = pipe.stage(either_entry, reach, zeros, width=layout.size)
    else:
        packed_entry = pipe.stage(
            lambda normal: entry(normal[low_bits:]), normal, width=layout.size
        )
    found = data.View(layout, packed_entry.value)
    late = [
        Staged(field, packed_entry.cycle) for field in (found.threshold, found.below, found.above)
    ]
    low = Staged(normal.value[:low_bits], normal.cycle)

    def step(low: Value, threshold: Value, below: Value, above: Value) -> Value:
        return Mux(low >= threshold, above, below)

    return pipe.stage(step, low, *late, width=width)


def _entry(
    pipe: Pipeline,
    layout: data.StructLayout,
    entries: Sequence[tuple[int, int, int]],
    number: Value,
) -> Value:
    """The entry *number* of a table: threshold, what holds below it, what holds from it on."""
    found = Signal(layout)
    with pipe.m.Switch(number):
        for place, (threshold, below, above) in enumerate(entries):
            with pipe.m.Case(place):
                pipe.m.d.comb += [
                    found.threshold.eq(threshold),
                    found.below.eq(below),
                    found.above.eq(above),
                ]
    return found.as_value()
