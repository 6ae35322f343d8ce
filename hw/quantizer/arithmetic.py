"""Small pieces of arithmetic on unsigned values and bf16 patterns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

from amaranth import C, Cat, Mux, Value

NAN = 0x7FC0
LARGEST_FINITE = 0x7F7F


def sign(pattern: Value) -> Value:
    """The sign bit."""
    return pattern[15]


def exponent(pattern: Value) -> Value:
    """The biased exponent."""
    return pattern[7:15]


def significand(pattern: Value) -> Value:
    """The fraction below a hidden bit that is always set, in zeros and subnormals too."""
    return Cat(pattern[:7], C(1, 1))


def order_key(pattern: Value) -> Value:
    """16 bits that rise in the total order of IEEE 754."""
    return Cat(pattern[:15] ^ sign(pattern).replicate(15), ~sign(pattern))


def pattern_of_key(key: Value) -> Value:
    """The pattern whose `order_key` is *key*."""
    return Cat(key[:15] ^ (~key[15]).replicate(15), ~key[15])


def all_of(bits: Sequence[Value]) -> Value:
    """Whether all of *bits* are set; so it is for none."""
    return reduce(and_, bits, C(1, 1))


def any_of(bits: Sequence[Value]) -> Value:
    """Whether one of *bits* is set."""
    return reduce(or_, bits, C(0, 1))


def chosen(selects: Sequence[Value], values: Sequence[Value]) -> Value:
    """The value whose select is set, of which at most one is; 0 if none is."""
    masked = (
        value & select.replicate(len(value)) for select, value in zip(selects, values, strict=True)
    )
    return reduce(or_, masked)


def tripled(single: Value) -> Value:
    """Three times *single*."""
    return single + (single << 1)


def product(single: Value, three: Value, factor: Value) -> Value:
    """*single* times *factor*, of which two bits at once choose a multiple; *three* is its triple.

    Half the rows of a product by single bits, for a triple that is made once for all lanes.
    """
    total: Value = C(0, 1)
    for place in range(0, len(factor), 2):
        digit = factor[place : place + 2]
        multiple = unless(~digit[0], single)
        if len(digit) == 2:
            multiple = Mux(digit[1], Mux(digit[0], three, single << 1), multiple)
        total = total + (multiple << place)
    return total


def leading_zeros(value: Value, width: int) -> Value:
    """Zeros above the highest set bit; of 0 as many as *width* bits hold."""
    zeros: Value = C((1 << width) - 1, width)
    for bit in range(len(value)):
        zeros = Mux(value[bit], min(len(value) - 1 - bit, (1 << width) - 1), zeros)
    return zeros


def sum_with_carry(left: Value, right: Value, carry: Value, width: int) -> Value:
    """left + right + carry, modulo 2**width, in one adder."""
    return (Cat(C(1, 1), left) + Cat(carry, right))[1 : width + 1]


def limited(value: Value, width: int) -> Value:
    """*value* in *width* bits, the largest number of them if it is larger."""
    return value[:width] | value[width:].any().replicate(width)


def unless(condition: Value, value: Value) -> Value:
    """*value*, or 0 where *condition* is set."""
    return value & (~condition).replicate(len(value))


def shifted_down(value: Value, places: Value, width: int) -> Value:
    """value >> places in *width* bits; 0 where *places* is beyond the value."""
    near = (len(value) - 1).bit_length()
    if len(places) <= near:
        return (value >> places)[:width]
    return Mux(places[near:].any(), 0, (value >> places[:near])[:width])
