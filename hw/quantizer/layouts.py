"""What streams into and out of the quantizer and the dequantizer, and codes as bit planes."""

from __future__ import annotations

from amaranth import Cat, Value
from amaranth.hdl import ValueLike
from amaranth.lib import data

from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.quantize.records import BLOCK, planes_of

VALUES_PER_CYCLE = (8, 16, 32)
PATTERN_BITS = 16


def check_values_per_cycle(values_per_cycle: int) -> None:
    """Raises ValueError for a width that no core here has."""
    if values_per_cycle not in VALUES_PER_CYCLE:
        listed = ", ".join(map(str, VALUES_PER_CYCLE))
        raise ValueError(f"values_per_cycle is {values_per_cycle}: expected {listed}")


def row_layout(values_per_cycle: int) -> data.StructLayout:
    """Neighbouring values of a group.

    values: bf16 patterns. last: the message ends with this row, which is the last of its group.
    """
    return data.StructLayout(
        {"values": data.ArrayLayout(PATTERN_BITS, values_per_cycle), "last": 1}
    )


def shared_fields(definition: GroupQuantizer) -> dict[str, int]:
    """Name and width of what the values of a group share.

    scale: bf16 pattern. zero: the zero point, or the minimum's bf16 pattern. low, high: bf16
    patterns of the two values kept as they are, low_index and high_index where they stand.
    """
    zero = definition.bits if definition.has_zero_point else PATTERN_BITS
    fields = {"scale": PATTERN_BITS, "zero": zero}
    if definition.spikes:
        index = (definition.group - 1).bit_length()
        fields |= {"low": PATTERN_BITS, "high": PATTERN_BITS}
        fields |= {"low_index": index, "high_index": index}
    return fields


def group_layout(definition: GroupQuantizer) -> data.StructLayout:
    """A whole quantized group: `shared_fields`, all its codes, and whether it ends a message."""
    codes = data.ArrayLayout(definition.bits, definition.group)
    return data.StructLayout({**shared_fields(definition), "codes": codes, "last": 1})


def code_row_layout(definition: GroupQuantizer, values_per_cycle: int) -> data.StructLayout:
    """Neighbouring codes of a group; `shared_fields` are the same in all rows of a group."""
    codes = data.ArrayLayout(definition.bits, values_per_cycle)
    return data.StructLayout({**shared_fields(definition), "codes": codes, "last": 1})


def codes_as_planes(definition: GroupQuantizer, codes: ValueLike) -> Value:
    """All codes of a group in the order of the wire, whose lowest bit is bit 0.

    For every 32 values their planes: the widest first, with the most significant bits.
    """
    flat, bits = Value.cast(codes), definition.bits
    pieces = []
    for first in range(0, definition.group, BLOCK):
        left = bits
        for width in planes_of(bits):
            left -= width
            places = range(first, first + BLOCK)
            pieces += [flat[bits * place + left :][:width] for place in places]
    return Cat(*pieces)


def planes_as_codes(definition: GroupQuantizer, planes: ValueLike) -> Value:
    """The inverse of `codes_as_planes`."""
    flat, bits = Value.cast(planes), definition.bits
    pieces = []
    for place in range(definition.group):
        block, inside = divmod(place, BLOCK)
        start, parts = block * BLOCK * bits, []
        for width in planes_of(bits):
            parts.append(flat[start + inside * width :][:width])
            start += BLOCK * width
        pieces += reversed(parts)
    return Cat(*pieces)
