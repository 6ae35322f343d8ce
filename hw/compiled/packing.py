"""Payloads between NumPy arrays of fields and the 32-bit words of a compiled core's ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data

WIDE = 64
"""Fields of more bits are rows of bytes, lowest first, and not integers."""


def word_count(layout: data.Layout) -> int:
    """32-bit words of a payload."""
    return max(1, -(-layout.size // 32))


def pack(layout: data.Layout, fields: Mapping[str, Any]) -> np.ndarray:
    """Payloads of *layout*, a row of words each, from one array per field.

    The first dimension is the payload. A scalar field is one integer of up to 64 bits or, if wider,
    a row of bytes; a field of type array has its elements as second dimension. A field that is left
    out is 0.
    """
    unknown = set(fields) - {name for name, _ in layout}
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0]!r}")
    arrays = {name: np.asarray(values) for name, values in fields.items()}
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1:
        raise ValueError(f"fields of {sorted(counts)} payloads: expected the same number in each")
    bits = np.zeros((counts.pop(), 32 * word_count(layout)), np.uint8)
    for name, field in layout:
        if name in arrays:
            columns = _to_bits(field.shape, arrays[name])
            bits[:, field.offset : field.offset + columns.shape[1]] = columns
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")


def unpack(layout: data.Layout, words: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of payloads of *layout*, as `pack` takes them; nothing is read as signed."""
    octets = np.ascontiguousarray(words, "<u4").view(np.uint8)
    bits = np.unpackbits(octets, axis=1, bitorder="little")
    return {
        name: _from_bits(field.shape, bits[:, field.offset : field.offset + field.width])
        for name, field in layout
    }


def _element(shape: Any) -> tuple[int, int]:
    """Elements and bits of each; a field that is no array is one element."""
    if isinstance(shape, data.ArrayLayout):
        return shape.length, Shape.cast(shape.elem_shape).width
    return 1, Shape.cast(shape).width


def _to_bits(shape: Any, values: np.ndarray) -> np.ndarray:
    length, width = _element(shape)
    if width > WIDE:
        return np.unpackbits(values.astype(np.uint8), axis=1, bitorder="little")[:, :width]
    octets = values.astype("<u8").reshape(len(values) * length, 1).view(np.uint8)
    bits = np.unpackbits(octets, axis=1, bitorder="little", count=width)
    return bits.reshape(len(values), length * width)


def _from_bits(shape: Any, bits: np.ndarray) -> np.ndarray:
    length, width = _element(shape)
    if width > WIDE:
        return np.packbits(bits, axis=1, bitorder="little")
    octets = np.packbits(bits.reshape(-1, width), axis=1, bitorder="little")
    padded = np.zeros((len(octets), 8), np.uint8)
    padded[:, : octets.shape[1]] = octets
    values = padded.view("<u8").reshape(-1, length)
    return values if isinstance(shape, data.ArrayLayout) else values[:, 0]
