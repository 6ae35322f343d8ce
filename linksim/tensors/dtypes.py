"""The number formats a trace may hold, by the names used everywhere in linksim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.units import ceil_div

Tensor = NDArray[Any]
"""A tensor of any supported format, as a NumPy array of its (possibly ml_dtypes) dtype."""


@dataclass(frozen=True)
class NumberFormat:
    """One number format.

    Formats of fewer than 8 bits are held one value per byte in memory, as ml_dtypes does, and
    counted with their true width on a wire.
    """

    name: str
    numpy: np.dtype[Any]
    bits: int
    """Width of one value on a wire."""
    safetensors: str
    """Name of the format in a safetensors header; formats it lacks are stored as U8 patterns."""

    def nbytes(self, value_count: int) -> int:
        """Bytes that *value_count* tightly packed values take."""
        return ceil_div(value_count * self.bits, 8)

    def patterns(self, values: Tensor) -> NDArray[Any]:
        """Bit patterns of *values*, flat, uint16 [n] for 16-bit formats and uint8 [n] below.

        LinksimError where a byte of a format below 8 bits has bits above the format's width, which
        no value has but a damaged file may.
        """
        flat = np.ascontiguousarray(values, self.numpy).reshape(-1)
        if self.bits == 16:
            return flat.view(np.uint16)
        patterns = flat.view(np.uint8)
        if int(patterns.max(initial=0)) >> self.bits:
            first = int(np.argmax(patterns >= 1 << self.bits))
            raise LinksimError(
                f"{self.name}: value {first} is 0x{patterns[first]:02X}: expected at most "
                f"{self.bits} bits"
            )
        return patterns


_FORMATS = {
    fmt.name: fmt
    for fmt in (
        NumberFormat("bf16", np.dtype(ml_dtypes.bfloat16), 16, "BF16"),
        NumberFormat("fp16", np.dtype(np.float16), 16, "F16"),
        NumberFormat("e4m3", np.dtype(ml_dtypes.float8_e4m3fn), 8, "F8_E4M3"),
        NumberFormat("e5m2", np.dtype(ml_dtypes.float8_e5m2), 8, "F8_E5M2"),
        NumberFormat("e3m2", np.dtype(ml_dtypes.float6_e3m2fn), 6, "U8"),
        NumberFormat("e2m3", np.dtype(ml_dtypes.float6_e2m3fn), 6, "U8"),
        NumberFormat("e2m1", np.dtype(ml_dtypes.float4_e2m1fn), 4, "U8"),
        NumberFormat("int8", np.dtype(np.int8), 8, "I8"),
    )
}

FORMAT_NAMES = tuple(_FORMATS)
"""All supported names: bf16, fp16, e4m3, e5m2, e3m2, e2m3, e2m1, int8."""

_CODES = {
    f"uint{bits}": NumberFormat(f"uint{bits}", np.dtype(np.uint8), bits, "U8")
    for bits in range(2, 9)
}


def number_format(name: str) -> NumberFormat:
    """The format called *name*; LinksimError names the known ones."""
    if name not in _FORMATS:
        raise LinksimError(f"unknown dtype {name!r}: expected one of {', '.join(FORMAT_NAMES)}")
    return _FORMATS[name]


def coded_format(name: str) -> NumberFormat:
    """The format called *name*, or uint2 to uint8: a quantizer's codes, which no trace holds."""
    return _CODES.get(name) or number_format(name)


def format_of(array: Tensor) -> NumberFormat:
    """The format of *array*; LinksimError when linksim has none for its dtype."""
    for fmt in _FORMATS.values():
        if fmt.numpy == array.dtype:
            return fmt
    known = ", ".join(FORMAT_NAMES)
    raise LinksimError(f"dtype {array.dtype} is not supported: expected one of {known}")


def cast(array: Tensor, name: str) -> Tensor:
    """*array* converted to the format called *name* (round to nearest even, as ml_dtypes does).

    Integers are never made from floats here: that is quantization, which needs a scale.
    """
    fmt = number_format(name)
    if array.dtype == fmt.numpy:
        return array
    if fmt.name == "int8":
        raise LinksimError(f"a cast from {array.dtype} to int8 is not defined: it needs a scale")
    if array.dtype.kind not in "fV":
        raise LinksimError(f"a cast from {array.dtype} to {name} is not defined: expected floats")
    return array.astype(np.float32).astype(fmt.numpy)
