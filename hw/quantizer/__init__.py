"""The group quantizer and dequantizer."""

from hw.quantizer.dequantizer import Dequantizer
from hw.quantizer.layouts import (
    code_row_layout,
    codes_as_planes,
    group_layout,
    planes_as_codes,
    row_layout,
)
from hw.quantizer.quantizer import Quantizer

__all__ = [
    "Dequantizer",
    "Quantizer",
    "code_row_layout",
    "codes_as_planes",
    "group_layout",
    "planes_as_codes",
    "row_layout",
]
