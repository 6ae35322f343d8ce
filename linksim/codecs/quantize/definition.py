"""The group quantizer: bf16 to codes of 2 to 8 bits and back, defined on integers alone.

Every realisation (this one, compiled code, hardware) takes its constants and tables from
`GroupQuantizer` and must agree with it on every bit. `docs/quantizer.md` is the definition in
words. Below, *exponent* is a biased bf16 exponent field and *significand* an integer of 8 bits with
its top bit set, so that a number is significand * 2**(exponent - 134).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.quantize import bf16
from linksim.codecs.quantize.bf16 import Integers, Patterns
from linksim.codecs.quantize.groups import QuantizedGroups, Spikes
from linksim.codecs.quantize.records import RecordLayout
from linksim.errors import LinksimError
from linksim.units import ceil_div

GROUPS = (32, 64, 128)
ZEROS = ("point", "min")

LEAST_EXPONENT = 32
"""Exponent below which a group's range is not followed: smaller numbers fade to 0."""
RANGE_FRACTION_BITS = 14
"""Fraction bits of `GroupQuantizer.range_factor`."""
ALIGNED_BITS = 15
"""Bits of the two ends of a range, on the common grid on which they are subtracted."""
GUARD_BITS = 4
"""zero="min": values are aligned with this many bits below the scale's power of two."""


@dataclass(frozen=True, kw_only=True)
class GroupQuantizer:
    """Quantizes groups of bf16 values. Raises LinksimError for parameters that make none.

    Parameters
    ----------
    bits: width of a code, 2 to 8.
    group: values that share a scale: 32, 64 or 128.
    zero: where code 0 lies. "point": a code, the zero point, stands for 0, which is always one of
        the levels. "min": code 0 stands for the group's minimum, kept in bf16.
    spikes: keep each group's first minimum and last maximum as they are, outside the range.
    """

    bits: int
    group: int = 32
    zero: str = "point"
    spikes: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise LinksimError(f"bits is {self.bits}: expected 2 to 8")
        if self.group not in GROUPS:
            raise LinksimError(f"group is {self.group}: expected {', '.join(map(str, GROUPS))}")
        if self.zero not in ZEROS:
            raise LinksimError(f"zero is {self.zero!r}: expected {' or '.join(ZEROS)}")

    # What hardware is built from.

    @property
    def top_code(self) -> int:
        """The largest code, which is also the number of steps in a range."""
        return (1 << self.bits) - 1

    @property
    def has_zero_point(self) -> bool:
        """Whether the zero is a code and not a bf16 pattern."""
        return self.zero == "point"

    @property
    def range_factor(self) -> int:
        """2**bits / (2**bits - 1) with 14 fraction bits, to nearest: 15 bits."""
        return ((1 << (RANGE_FRACTION_BITS + self.bits)) + self.top_code // 2) // self.top_code

    @property
    def range_bits(self) -> int:
        """Bits of the range, maximum less minimum, on its grid."""
        return ALIGNED_BITS + 1

    @property
    def most_leading_zeros(self) -> int:
        """How far a range is normalised: one that spans 0 has its top bits set anyway."""
        return 1 if self.has_zero_point else 9

    @property
    def scale_fraction_bits(self) -> int:
        """Fraction bits that a scale keeps; all lower ones of its bf16 pattern are 0.

        Up to 4 bits of code, zero point and scale share 16 bits.
        """
        return 8 - self.bits if self.has_zero_point and self.bits <= 4 else bf16.FRACTION_BITS

    @property
    def scale_exponents(self) -> range:
        """Exponents that a scale can have, but for a poisoned group's."""
        lowest = LEAST_EXPONENT + 1 - self.most_leading_zeros - self.bits
        return range(lowest, bf16.NONFINITE_EXPONENT + 2 - self.bits)

    @property
    def reciprocal_bits(self) -> int:
        """Width of a reciprocal."""
        return self.bits + 4

    @cached_property
    def reciprocals(self) -> tuple[int, ...]:
        """2**(reciprocal_bits + 7) / significand, to nearest, for the significands 128 to 255."""
        top = 1 << self.reciprocal_bits
        scaled = top << bf16.FRACTION_BITS
        return tuple(
            min(top - 1, (scaled + significand // 2) // significand)
            for significand in range(bf16.HIDDEN_BIT, 2 * bf16.HIDDEN_BIT)
        )

    @property
    def guard_bits(self) -> int:
        """zero="min": bits of an aligned value below the scale's power of two."""
        return GUARD_BITS

    @property
    def difference_bits(self) -> int:
        """zero="min": bits of an aligned value less the aligned minimum."""
        return self.bits + self.guard_bits + 1

    # To codes and back.

    def quantize(self, patterns: NDArray[np.uint16]) -> QuantizedGroups:
        """The groups of the bf16 bit patterns *patterns*, uint16 [n], flat.

        Where n is no multiple of `group`, the last group is filled up with +0.
        """
        words = self._rows(patterns)
        keys = bf16.order_keys(words)
        kept = np.zeros(words.shape, np.bool_)
        spikes = self._spikes(words, keys, kept) if self.spikes else None
        poisoned = (bf16.exponents(words) == bf16.NONFINITE_EXPONENT).any(axis=1)
        low = bf16.patterns_of_keys(np.where(kept, 0xFFFF, keys).min(axis=1, initial=0xFFFF))
        high = bf16.patterns_of_keys(np.where(kept, 0, keys).max(axis=1, initial=0))
        if self.has_zero_point:
            low = np.where(bf16.signs(low), low, 0)
            high = np.where(bf16.signs(high), 0, high)
        exponents, significands = self._scales(low, high)
        code = self._codes_by_point if self.has_zero_point else self._codes_by_minimum
        zero, codes = code(words, low, exponents, significands, kept)
        scale = (exponents << bf16.FRACTION_BITS) | (significands & (bf16.HIDDEN_BIT - 1))
        return QuantizedGroups(
            scale=np.where(poisoned, bf16.NAN, scale).astype(np.uint16),
            zero=np.where(poisoned, self.poisoned_zero, zero).astype(np.uint16),
            codes=np.where(poisoned[:, None], 0, codes).astype(np.uint8),
            spikes=spikes,
        )

    def dequantize(self, groups: QuantizedGroups, count: int | None = None) -> Patterns:
        """The bf16 bit patterns of *groups*, flat; the first *count* of them where it is given.

        Every scale, zero and code has a meaning, those that `quantize` never makes too.
        """
        self._check_groups(groups)
        exponents, significands = bf16.exponents(groups.scale), bf16.significands(groups.scale)
        poisoned = exponents == bf16.NONFINITE_EXPONENT
        codes = groups.codes.astype(np.int32)
        if self.has_zero_point:
            steps = codes - groups.zero.astype(np.int32)[:, None]
            values = steps * significands[:, None]
        else:
            poisoned = poisoned | (bf16.exponents(groups.zero) == bf16.NONFINITE_EXPONENT)
            minima = self._minima_in_scale_units(groups.zero, exponents)
            values = minima[:, None] + codes * significands[:, None]
        decoded = bf16.nearest(values, exponents[:, None] - bf16.FRACTION_BITS)
        if groups.spikes is not None:
            rows = np.arange(len(groups))
            decoded[rows, groups.spikes.low_index] = groups.spikes.low
            decoded[rows, groups.spikes.high_index] = groups.spikes.high
        decoded[poisoned] = bf16.NAN
        flat = decoded.reshape(-1)
        if count is None:
            return flat
        if ceil_div(count, self.group) != len(groups):
            raise LinksimError(
                f"{len(groups)} groups of {self.group} values: expected "
                f"{ceil_div(count, self.group)} for {count} values"
            )
        return flat[:count]

    # On the wire.

    @cached_property
    def records(self) -> RecordLayout:
        """How groups lie in bytes."""
        return RecordLayout(
            bits=self.bits,
            group=self.group,
            zero_bits=(self.bits if self.bits <= 4 else 8) if self.has_zero_point else 16,
            scale_fraction_bits=self.scale_fraction_bits,
            scale_exponents=self.scale_exponents,
            zero_point=self.has_zero_point,
            spikes=self.spikes,
        )

    @property
    def bits_per_value(self) -> float:
        """Bits on the wire per value of whole records: codes and what a group shares."""
        return 8 * self.records.nbytes / self.records.values

    def packed_nbytes(self, count: int) -> int:
        """Exact bytes of *count* values."""
        return self.records.packed_nbytes(count)

    def pack(self, groups: QuantizedGroups) -> bytes:
        """The records of *groups*; a last record that they leave open is filled up with zeros."""
        self._check_groups(groups)
        missing = -len(groups) % self.records.groups
        return self.records.pack(groups, self.quantize(np.zeros(missing * self.group, np.uint16)))

    def unpack(self, data: bytes, count: int) -> QuantizedGroups:
        """The groups of *count* values from their records; LinksimError for bytes that are none."""
        padding = self.quantize(np.zeros(self.group, np.uint16))
        return self.records.unpack(data, count, padding)

    # How.

    @property
    def poisoned_zero(self) -> int:
        """The zero of a group that holds an infinity or a NaN."""
        return 0 if self.has_zero_point else bf16.NAN

    def _rows(self, patterns: NDArray[np.uint16]) -> Patterns:
        if patterns.dtype != np.uint16:
            raise LinksimError(f"got {patterns.dtype}: expected bf16 bit patterns as uint16")
        flat = np.ascontiguousarray(patterns).reshape(-1)
        padding = np.zeros(-len(flat) % self.group, np.uint16)
        return np.concatenate([flat, padding]).reshape(-1, self.group)

    def _check_groups(self, groups: QuantizedGroups) -> None:
        if groups.codes.shape[1] != self.group:
            raise LinksimError(f"groups of {groups.codes.shape[1]} values: expected {self.group}")
        if (groups.spikes is not None) != self.spikes:
            raise LinksimError(
                f"groups {'without' if self.spikes else 'with'} spikes: expected the opposite"
            )

    def _spikes(self, words: Patterns, keys: Integers, kept: NDArray[np.bool_]) -> Spikes:
        """First minimum and last maximum of every group, which differ; marks them in *kept*."""
        rows = np.arange(len(words))
        low = keys.argmin(axis=1)
        high = self.group - 1 - keys[:, ::-1].argmax(axis=1)
        kept[rows, low] = kept[rows, high] = True
        return Spikes(
            low=words[rows, low],
            high=words[rows, high],
            low_index=low.astype(np.uint8),
            high_index=high.astype(np.uint8),
        )

    def _scales(self, low: Integers, high: Integers) -> tuple[Integers, Integers]:
        """Exponents and significands of the scales of groups that reach from *low* to *high*."""
        grid = np.maximum(bf16.exponents(low), bf16.exponents(high)).clip(LEAST_EXPONENT)

        def aligned(end: Integers) -> Integers:
            wide = bf16.significands(end) << (ALIGNED_BITS - 8)
            magnitudes = bf16.shifted_down(wide, grid - bf16.exponents(end))
            return bf16.signed(magnitudes, bf16.signs(end))

        reach = aligned(high) - aligned(low)
        zeros = (self.range_bits - bf16.bit_lengths(reach)).clip(None, self.most_leading_zeros)
        # The range over its number of steps, times 2**bits: 17 bits, of which the top ones count.
        wide = ((reach << zeros) * self.range_factor) >> RANGE_FRACTION_BITS
        fraction = self.scale_fraction_bits
        dropped = self.range_bits - 1 - fraction
        rounded = (wide + (1 << (dropped - 1))) >> dropped
        carry = rounded >= 2 << fraction
        halved = (wide + (1 << dropped)) >> (dropped + 1)
        significands = np.where(carry, halved, rounded) << (bf16.FRACTION_BITS - fraction)
        return grid + 1 - zeros - self.bits + carry, significands | bf16.HIDDEN_BIT

    def _reciprocals_of(self, significands: Integers) -> Integers:
        return np.array(self.reciprocals, np.int32)[significands - bf16.HIDDEN_BIT]

    def _codes_by_point(
        self,
        words: Patterns,
        low: Integers,
        exponents: Integers,
        significands: Integers,
        kept: NDArray[np.bool_],
    ) -> tuple[Integers, Integers]:
        """Zero points and codes: the distance of every value from 0 in whole steps, to nearest."""
        reciprocals = self._reciprocals_of(significands)

        def steps(values: NDArray[np.integer], scale: Integers, reciprocal: Integers) -> Integers:
            places = self.reciprocal_bits + 6 + scale - bf16.exponents(values)
            halves = bf16.shifted_down(bf16.significands(values) * reciprocal, places)
            return (halves + 1) >> 1

        zero = np.minimum(steps(low, exponents, reciprocals), self.top_code)
        distances = steps(words, exponents[:, None], reciprocals[:, None])
        codes = zero[:, None] + bf16.signed(distances, bf16.signs(words))
        return zero, np.where(kept, zero[:, None], codes.clip(0, self.top_code))

    def _codes_by_minimum(
        self,
        words: Patterns,
        low: Integers,
        exponents: Integers,
        significands: Integers,
        kept: NDArray[np.bool_],
    ) -> tuple[Integers, Integers]:
        """Minima and codes: the distance of every value from the minimum in steps, to nearest."""
        top = exponents + 8 + self.bits  # no exponent of the group is above
        unit = self.bits + self.guard_bits + 2

        def aligned(values: NDArray[np.integer], scale_top: Integers) -> Integers:
            wide = bf16.significands(values) << unit
            halves = bf16.shifted_down(wide, scale_top - bf16.exponents(values))
            return bf16.signed((halves + 1) >> 1, bf16.signs(values))

        distances = aligned(words, top[:, None]) - aligned(low, top)[:, None]
        dropped = self.reciprocal_bits + self.guard_bits
        wide = np.where(kept, 0, distances) * self._reciprocals_of(significands)[:, None]
        codes = (wide + (1 << (dropped - 1))) >> dropped
        return low, np.where(kept, 0, np.minimum(codes, self.top_code))

    def _minima_in_scale_units(self, zero: Patterns, exponents: Integers) -> Integers:
        """The minima in units of 2**(exponent - 134), cut towards 0; at most 24 bits."""
        above = (bf16.exponents(zero) - exponents).clip(None, 16)
        magnitudes = bf16.shifted_down(bf16.significands(zero) << above.clip(0), -above)
        magnitudes = np.where(bf16.exponents(zero) == 0, 0, magnitudes)
        return bf16.signed(magnitudes, bf16.signs(zero))
