"""The table of docs/quantizer.md for one group of Python integers, line by line.

Shares nothing with `linksim.codecs.quantize` but the parameters: no constant, table or array.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from linksim.codecs.quantize import GroupQuantizer


@dataclass(frozen=True)
class ScalarGroup:
    """One group; spikes as (pattern, index)."""

    scale: int
    zero: int
    codes: list[int]
    spikes: tuple[tuple[int, int], tuple[int, int]] | None = None


def parts(pattern: int) -> tuple[int, int, int]:
    """Sign as 1 or -1, exponent, significand."""
    return (-1 if pattern >> 15 else 1), (pattern >> 7) & 255, (pattern & 127) | 128


def place(pattern: int) -> int:
    """Place in the total order."""
    return pattern ^ (0xFFFF if pattern >> 15 else 0x8000)


def quotient(numerator: int, denominator: int) -> int:
    """To nearest, halves up."""
    return (numerator + denominator // 2) // denominator


def scale_of(quantizer: GroupQuantizer, low: int, high: int) -> tuple[int, int]:
    """S and M."""
    b, point = quantizer.bits, quantizer.zero == "point"
    grid = max(parts(low)[1], parts(high)[1], 32)

    def aligned(pattern: int) -> int:
        sign, e, m = parts(pattern)
        return sign * ((m << 7) >> (grid - e))

    reach = aligned(high) - aligned(low)
    zeros = min(16 - reach.bit_length(), 1 if point else 9)
    wide = ((reach << zeros) * quotient(1 << (14 + b), (1 << b) - 1)) >> 14
    f = 8 - b if point and b <= 4 else 7
    rounded, carry = (wide + (1 << (14 - f))) >> (15 - f), 0
    if rounded >= 2 << f:
        rounded, carry = (wide + (1 << (15 - f))) >> (16 - f), 1
    return grid + 1 - zeros - b + carry, rounded << (7 - f) | 128


def quantized(quantizer: GroupQuantizer, group: list[int]) -> ScalarGroup:
    """The group of the bf16 patterns *group*."""
    b, point, spikes, kept = quantizer.bits, quantizer.zero == "point", None, set()
    ranked = range(len(group))
    if quantizer.spikes:
        first = min(ranked, key=lambda i: (place(group[i]), i))
        last = max(ranked, key=lambda i: (place(group[i]), i))
        spikes, kept = ((group[first], first), (group[last], last)), {first, last}
    if any(parts(x)[1] == 255 for x in group):
        return ScalarGroup(0x7FC0, 0 if point else 0x7FC0, [0] * len(group), spikes)
    others = sorted((group[i] for i in ranked if i not in kept), key=place)
    low, high = others[0], others[-1]
    if point:
        low, high = low if low >> 15 else 0, 0 if high >> 15 else high
    exponent, significand = scale_of(quantizer, low, high)
    k, top = b + 4, (1 << b) - 1
    reciprocal = min((1 << k) - 1, quotient(1 << (k + 7), significand))

    def steps(pattern: int) -> int:
        _, e, m = parts(pattern)
        return (((m * reciprocal) >> (k + 6 + exponent - e)) + 1) >> 1

    def aligned(pattern: int) -> int:
        sign, e, m = parts(pattern)
        return sign * ((((m << (b + 6)) >> (exponent + 8 + b - e)) + 1) >> 1)

    zero = min(steps(low), top) if point else low

    def code(index: int) -> int:
        x = group[index]
        if index in kept:
            return zero if point else 0
        if point:
            return min(max(zero + parts(x)[0] * steps(x), 0), top)
        distance = aligned(x) - aligned(low)
        return min((distance * reciprocal + (1 << (k + 3))) >> (k + 4), top)

    scale = exponent << 7 | (significand & 127)
    return ScalarGroup(scale, zero, [code(i) for i in ranked], spikes)


def rounded_to_bf16(value: Fraction) -> int:
    """The pattern nearest to *value*, ties to even; saturated; +0 below the normal numbers."""
    if value == 0:
        return 0
    magnitude, exponent = abs(value), 0
    while magnitude >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while magnitude < Fraction(2) ** exponent:
        exponent -= 1
    significand = round(magnitude / Fraction(2) ** (exponent - 7))  # Python rounds ties to even
    word = min((exponent + 127) * 128 + significand - 128, 0x7F7F)
    if word < 128:
        return 0
    return word | (0x8000 if value < 0 else 0)


def dequantized(quantizer: GroupQuantizer, group: ScalarGroup) -> list[int]:
    """The bf16 patterns of *group*."""
    sign, exponent, significand = parts(group.scale)
    poisoned = exponent == 255
    if quantizer.zero == "point":
        origin = -group.zero * significand
    else:
        sign, e, m = parts(group.zero)
        poisoned = poisoned or e == 255
        origin = sign * (m << min(e - exponent, 16) if e >= exponent else m >> (exponent - e))
        origin = 0 if e == 0 else origin
    if poisoned:
        return [0x7FC0] * len(group.codes)
    unit = Fraction(2) ** (exponent - 134)
    decoded = [rounded_to_bf16((origin + code * significand) * unit) for code in group.codes]
    for pattern, index in group.spikes or ():
        decoded[index] = pattern
    return decoded
