"""What streams into and out of encoders and decoders: rows of values, words of flits."""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data

from hw.huffman.shape import LinkShape


def row_layout(shape: LinkShape, slot_bits: int) -> data.StructLayout:
    """A row of values as it enters an encoder.

    symbols, rest: one per place; places from *count* on are ignored.
    count: values of the row, from place 0 up. All rows of a message are full but its last; a short
    row ends its message, and an empty one that does not is ignored.
    last: the message ends with this row.
    slot: the codebook of the message, from 1 as on the wire; the same in all of its rows. Where
    there is one codebook it is ignored.
    """
    return data.StructLayout(
        {
            "symbols": data.ArrayLayout(shape.symbol_bits, shape.values_per_cycle),
            "rest": data.ArrayLayout(shape.rest_bits, shape.values_per_cycle),
            "count": range(shape.values_per_cycle + 1),
            "last": 1,
            "slot": slot_bits,
        }
    )


def word_layout(shape: LinkShape) -> data.StructLayout:
    """A word of a flit, lowest bytes of the payload first.

    data: bit i of byte b at 8 b + i; in the last word of a flit zero above the payload.
    end: the last word of its flit. first, last: the message begins or ends with this flit, the
    same in all words of it.
    """
    return data.StructLayout({"data": 8 * shape.word_nbytes, "end": 1, "first": 1, "last": 1})


def decoded_layout(shape: LinkShape) -> data.StructLayout:
    """A row of values as it leaves a decoder.

    symbols, rest: one per place; places from *count* on are undefined.
    count: values of the row, from place 0 up; any row may be short, and one of an empty verdict
    has none. last: the message ends with this row. error: the flit that ends with this row breaks
    a rule of the format; what came of it is not to be trusted. flit_end: the row is the last of
    its flit.
    """
    return data.StructLayout(
        {
            "symbols": data.ArrayLayout(shape.symbol_bits, shape.values_per_cycle),
            "rest": data.ArrayLayout(shape.rest_bits, shape.values_per_cycle),
            "count": range(shape.values_per_cycle + 1),
            "flit_end": 1,
            "last": 1,
            "error": 1,
        }
    )


def header_layout() -> data.StructLayout:
    """The header of a flit: number of values less one, slot (0 is raw), exponent bias."""
    return data.StructLayout({"values_less_one": 13, "slot": 5, "bias": signed(6)})
