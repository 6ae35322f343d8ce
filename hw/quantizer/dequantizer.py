"""The group dequantizer: codes with what their group shares to bf16 values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from amaranth import C, Cat, EnableInserter, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.quantizer.arithmetic import (
    LARGEST_FINITE,
    NAN,
    exponent,
    leading_zeros,
    product,
    shifted_down,
    sign,
    significand,
    sum_with_carry,
    tripled,
)
from hw.quantizer.layouts import check_values_per_cycle, code_row_layout, row_layout
from hw.quantizer.pipeline import Pipeline, Staged
from linksim.codecs.quantize import GroupQuantizer


class DequantizerPipeline(wiring.Component):
    """The dequantizer without flow control: a row, or a gap, every cycle.

    *latency* cycles after a row of codes its values stand at `values`.
    """

    def __init__(self, *, definition: GroupQuantizer, values_per_cycle: int):
        check_values_per_cycle(values_per_cycle)
        self.definition = definition
        self.values_per_cycle = values_per_cycle
        self.latency = 4 if definition.has_zero_point else 7
        super().__init__(
            {
                "valid": In(1),
                "codes": In(code_row_layout(definition, values_per_cycle)),
                "done": Out(1),
                "row": Out(row_layout(values_per_cycle)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)

        def taken(value: Value) -> Staged:
            return pipe.stage(lambda value: value, Staged(value, 0), width=len(value))

        codes = [taken(code) for code in self.codes.codes]
        scale, zero = taken(self.codes.scale), taken(self.codes.zero)
        build = self._around_point if self.definition.has_zero_point else self._above_minimum
        poisoned, rounded = build(pipe, codes, scale, zero)
        if self.definition.spikes:
            final, overrides = _final, self._overrides(m, pipe, taken)
        else:
            final, overrides = _finite_or_nan, [()] * self.values_per_cycle
        for place, (word, override) in enumerate(zip(rounded, overrides, strict=True)):
            value = pipe.stage(final, word, poisoned, *override, width=16)
            m.d.comb += self.row.values[place].eq(pipe.at(value, self.latency))
        m.d.comb += [
            self.done.eq(pipe.at(Staged(self.valid, 0), self.latency, reset=True)),
            self.row.last.eq(pipe.at(Staged(self.codes.last, 0), self.latency)),
        ]
        return m

    def _around_point(
        self, pipe: Pipeline, codes: Sequence[Staged], scale: Staged, zero: Staged
    ) -> tuple[Staged, list[Staged]]:
        """Steps from the zero point, normalised first: then the product is all but normal."""
        bits, kept = self.definition.bits, self.definition.scale_fraction_bits
        poisoned = pipe.comb(lambda scale: exponent(scale).all(), scale, width=1)

        def steps(code: Value, zero: Value) -> Value:
            # Sign, leading zeros and, above them, the distance with its top bit set.
            distance = pipe.wire(code - zero)
            magnitude = pipe.wire(Mux(distance[bits], zero - code, distance)[:bits])
            zeros = pipe.wire(leading_zeros(magnitude, (bits - 1).bit_length()))
            return Cat(distance[bits], zeros, (magnitude << zeros)[:bits])

        zeros_bits = (bits - 1).bit_length()
        product_bits = bits + kept + 1
        single = pipe.comb(lambda scale: significand(scale)[7 - kept :], scale, width=kept + 1)
        three = pipe.stage(tripled, single, width=kept + 3)

        def biased(zeros: Value, scale: Value) -> Value:
            return exponent(scale) + (bits - 1) - zeros

        def word(whole: Value, biased: Value, negative: Value) -> Value:
            top = whole[product_bits - 1]
            normal = pipe.wire(Mux(top, whole, whole << 1)[:product_bits])
            # Never below 0, but for a product of 0.
            return _rounded(pipe, normal, Cat((biased + top)[:9], C(0, 1)), negative)

        words = []
        for code in codes:
            parts = pipe.stage(steps, code, zero, width=1 + zeros_bits + bits)
            negative = Staged(parts.value[0], parts.cycle)
            zeros = Staged(parts.value[1 : 1 + zeros_bits], parts.cycle)
            normal = Staged(parts.value[1 + zeros_bits :], parts.cycle)
            whole = pipe.stage(product, single, three, normal, width=product_bits)
            early = pipe.stage(biased, zeros, scale, width=9)
            words.append(pipe.comb(word, whole, early, negative, width=16))
        return poisoned, words

    def _above_minimum(
        self, pipe: Pipeline, codes: Sequence[Staged], scale: Staged, zero: Staged
    ) -> tuple[Staged, list[Staged]]:
        """Steps from the minimum, added to it in units of the scale's last place."""
        bits = self.definition.bits
        poisoned = pipe.comb(
            lambda scale, zero: exponent(scale).all() | exponent(zero).all(), scale, zero, width=1
        )

        minimum = self._minimum(pipe, scale, zero)

        def total(steps: Value, minimum: Value, zero: Value) -> Value:
            inverted = minimum ^ sign(zero).replicate(24)
            wide = Cat(inverted, sign(zero).replicate(2))
            return sum_with_carry(steps, wide, sign(zero), 26)

        def magnitude(total: Value) -> Value:
            value = pipe.wire((total[:25] ^ total[25].replicate(25)) + total[25])[:25]
            return Cat(leading_zeros(value, 5), value)

        def normal(zeros: Value, value: Value) -> Value:
            # What is below the half of the last place counts as one bit.
            wide = pipe.wire((value << zeros)[:25])
            return Cat(wide[:16].any(), wide[16:])

        def biased(zeros: Value, scale: Value) -> Value:
            return exponent(scale) + 17 - zeros

        def word(normal: Value, biased: Value, negative: Value) -> Value:
            return _rounded(pipe, normal, biased, negative)

        words = []
        for code in codes:
            steps = pipe.stage(
                lambda code, scale: code * significand(scale), code, scale, width=bits + 8
            )
            sums = pipe.stage(total, steps, minimum, zero, width=26)
            parts = pipe.stage(magnitude, sums, width=30)
            zeros = Staged(parts.value[:5], parts.cycle)
            value = Staged(parts.value[5:], parts.cycle)
            normals = pipe.stage(normal, zeros, value, width=10)
            negative = Staged(sums.value[25], sums.cycle)
            early = pipe.stage(biased, zeros, scale, width=10)
            words.append(pipe.comb(word, normals, early, negative, width=16))
        return poisoned, words

    def _minimum(self, pipe: Pipeline, scale: Staged, zero: Staged) -> Staged:
        """The minimum's magnitude in units of the scale's last place: 24 bits, two stages."""

        def down(scale: Value, zero: Value) -> Value:
            # The minimum lies 16 places up, less these; 31 leave nothing.
            places = pipe.wire(exponent(scale) - exponent(zero) + 16).as_signed()
            near = Mux(places > 31, 31, places[:5])
            return Mux(exponent(zero) == 0, 31, Mux(places < 0, 0, near))

        places = pipe.stage(down, scale, zero, width=5)
        return pipe.stage(
            lambda zero, places: shifted_down(Cat(C(0, 16), significand(zero)), places, 24),
            zero,
            places,
            width=24,
        )

    def _overrides(
        self, m: Module, pipe: Pipeline, taken: Callable[[Value], Staged]
    ) -> list[tuple[Staged, Staged]]:
        """For every place: whether it holds one of the two values kept as they are, and that."""
        fields, width = self.codes, self.values_per_cycle
        inside = (width - 1).bit_length()
        valid = pipe.at(Staged(self.valid, 0), 1, reset=True)
        rows = self.definition.group // width
        row = Signal(range(max(rows, 2)))
        if rows > 1:
            with m.If(valid):
                m.d.sync += row.eq(row + 1)
        masks = []
        for index in (taken(fields.low_index), taken(fields.high_index)):

            def places(index: Value) -> Value:
                here = index[inside:] == row if rows > 1 else C(1, 1)
                return Mux(here, 1 << index[:inside], 0)

            masks.append(pipe.stage(places, index, width=width))
        low_places, high_places = masks
        patterns = [taken(fields.low), taken(fields.high)]
        chosen = []
        for place in range(width):
            low = Staged(low_places.value[place], low_places.cycle)
            high = Staged(high_places.value[place], high_places.cycle)
            chosen.append((low, high, *patterns))
        return chosen


def _rounded(pipe: Pipeline, normal: Value, biased: Value, negative: Value) -> Value:
    """A bf16 pattern, rounded to nearest and ties to even.

    *normal* has its top bit set unless it is 0. *biased* may be no exponent of bf16: what is too
    large becomes the largest finite number, what is too small +0.
    """
    below = len(normal) - 8
    fraction, rest = normal[below:-1], normal[:below]
    up = C(0, 1)
    if below == 1:
        up = rest[0] & fraction[0]
    elif below > 1:
        up = rest[-1] & (rest[:-1].any() | fraction[0])
    if below < 0:
        fraction = Cat(C(0, -below), normal[:-1])
    biased = biased.as_signed()
    word = pipe.wire((Cat(fraction, biased).as_signed() + up)[: 7 + len(biased)])
    high = word[7:]
    under = high[-1] | ~high.any()
    over = ~high[-1] & (high[8:].any() | high[:8].all())
    finite = Mux(over, LARGEST_FINITE, word[:15])
    return Mux(under | ~normal[-1], 0, Cat(finite, negative))


def _finite_or_nan(word: Value, poisoned: Value) -> Value:
    return Mux(poisoned, NAN, word)


def _final(
    word: Value, poisoned: Value, is_low: Value, is_high: Value, low: Value, high: Value
) -> Value:
    return Mux(poisoned, NAN, Mux(is_high, high, Mux(is_low, low, word)))


class Dequantizer(wiring.Component):
    """Turns codes back into bf16 values, bit for bit as `GroupQuantizer.dequantize` does.

    **Throughput**: a row of *values_per_cycle* values every cycle. **Latency**: *latency* cycles
    from the transfer of a row of codes to its values being offered, 4, or 7 above a minimum.
    **Back-pressure**: while values are offered and not taken the pipeline stands still, and one row
    of codes is parked in front of it. `i.ready` and `o.valid` come from registers, so no path leads
    from `o.ready` to `i.ready`.

    A scale's sign is ignored, and so are fraction bits that the quantizer never sets.

    Parameters
    ----------
    definition: the quantizer that made the codes.
    values_per_cycle: W, 8, 16 or 32.

    Raises
    ------
    ValueError for another width.

    Members
    -------
    i: In, stream of rows of codes, see `code_row_layout`; all rows of a group follow each other.
    o: Out, stream of rows of values, see `row_layout`.
    """

    def __init__(self, *, definition: GroupQuantizer, values_per_cycle: int):
        self._pipeline = DequantizerPipeline(
            definition=definition, values_per_cycle=values_per_cycle
        )
        self.definition = definition
        self.values_per_cycle = values_per_cycle
        self.latency = self._pipeline.latency
        super().__init__(
            {
                "i": In(stream.Signature(code_row_layout(definition, values_per_cycle))),
                "o": Out(stream.Signature(row_layout(values_per_cycle))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        moving, is_parked = Signal(), Signal()
        parked = Signal.like(self.i.payload, reset_less=True)
        m.submodules.pipeline = pipeline = EnableInserter(moving)(self._pipeline)
        m.d.comb += [
            moving.eq(~pipeline.done | self.o.ready),
            self.i.ready.eq(~is_parked),
            pipeline.valid.eq(self.i.valid | is_parked),
            pipeline.codes.eq(Mux(is_parked, parked, self.i.payload)),
            self.o.valid.eq(pipeline.done),
            self.o.payload.eq(pipeline.row),
        ]
        m.d.sync += is_parked.eq(pipeline.valid & ~moving)
        with m.If(~is_parked):
            m.d.sync += parked.eq(self.i.payload)
        return m
