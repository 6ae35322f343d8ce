"""Payloads of streams as numbers: Verilog shows a structure as one flat port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data


@dataclass(frozen=True)
class _Place:
    offset: int
    width: int
    elements: int | None
    """How many there are in an array of fields of *width* bits; None for a single field."""


class Packing:
    """Turns named fields, numbers and arrays of them, into the number on a port and back."""

    def __init__(self, layout: data.StructLayout):
        self.places: dict[str, _Place] = {}
        for name, field in layout:
            shape = field.shape
            if isinstance(shape, data.ArrayLayout):
                width = Shape.cast(shape.elem_shape).width
                self.places[name] = _Place(field.offset, width, shape.length)
            else:
                self.places[name] = _Place(field.offset, Shape.cast(shape).width, None)

    def pack(self, fields: Mapping[str, int | Sequence[int]]) -> int:
        number = 0
        for name, value in fields.items():
            place = self.places[name]
            values = [value] if isinstance(value, int) else value
            for index, one in enumerate(values):
                one = int(one) & (1 << place.width) - 1
                number |= one << place.offset + index * place.width
        return number

    def unpack(self, number: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, place in self.places.items():
            mask = (1 << place.width) - 1
            if place.elements is None:
                fields[name] = number >> place.offset & mask
            else:
                fields[name] = [
                    number >> place.offset + index * place.width & mask
                    for index in range(place.elements)
                ]
        return fields
