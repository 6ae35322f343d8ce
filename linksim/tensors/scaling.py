"""Tensors in formats of 8 bits and less: values times a power of two, rounded to nearest even.

A power of two changes exponents alone, so scaling loses nothing by itself. Two ways to choose it:

* one scale per tensor: the largest that keeps the absolute maximum inside the format's range;
* one scale per block of 32 values, as the OCP Microscaling Formats (MX) specification 1.0 sets it
  (section 6.3): the block's largest binary exponent becomes the format's largest one. What then
  still lies beyond the largest value of the format is clamped to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, cast, number_format

INT8_MAX = 127
MX_BLOCK_VALUES = 32
"""Values that share one scale in every MX format."""
MX_MIN_EXPONENT, MX_MAX_EXPONENT = -127, 127
"""Exponents that an MX scale (E8M0: 8 bits, no sign, no mantissa) can hold."""


@dataclass(frozen=True)
class ScaledTensor:
    """Values in a narrow format, and the scales that give the tensor back.

    Value i of the tensor is about `values[i] * 2.0 ** exponents[i // block_values]`.
    """

    values: Tensor
    """In the narrow format; shape of the tensor."""
    exponents: NDArray[np.int64]
    """Binary exponents of the scales, int64 [1] per tensor or [ceil(n / 32)] per block."""
    block_values: int
    """Values that share a scale: all of the tensor's, or 32."""

    @property
    def scale_nbytes(self) -> int:
        """Bytes the scales take, one each (E8M0). They are no part of the values' bytes."""
        return int(self.exponents.size)

    def restored(self) -> NDArray[np.float32]:
        """The tensor as far as the narrow format kept it; float32, shape of the tensor."""
        flat = self.values.astype(np.float32).reshape(-1)
        spread = np.repeat(self.exponents, self.block_values)[: flat.size]
        return np.ldexp(flat, spread.astype(np.int32)).reshape(self.values.shape)


def scale_per_tensor(tensor: Tensor, dtype: str) -> ScaledTensor:
    """*tensor* (floats of any shape) in *dtype*, with the largest power of two that fits.

    The absolute maximum then lies above half of the format's largest value and not beyond it; only
    a tensor so small that an E8M0 scale cannot lift it stays below. A tensor of zeros, or without
    values, gets scale 1. LinksimError for NaN, infinity, integers and formats that are no floats.
    """
    values = _as_float32(tensor, dtype)
    largest = float(np.abs(values).max(initial=0))
    exponent = 0
    if largest:
        limit_mantissa, limit_exponent = np.frexp(_largest_value(dtype))
        mantissa, own_exponent = np.frexp(largest)
        exponent = int(own_exponent - limit_exponent) + int(mantissa > limit_mantissa)
        exponent = max(exponent, MX_MIN_EXPONENT)
    return ScaledTensor(
        np.ldexp(values, -exponent).astype(number_format(dtype).numpy),
        np.array([exponent], np.int64),
        max(1, values.size),
    )


def scale_per_block(tensor: Tensor, dtype: str) -> ScaledTensor:
    """*tensor* (floats of any shape) in *dtype*, one scale per 32 values in C order, as in MX.

    The last block may hold fewer values. A block of zeros gets the smallest scale. LinksimError
    for NaN, infinity, integers and formats that are no floats.
    """
    values = _as_float32(tensor, dtype)
    limit = _largest_value(dtype)
    blocks = np.zeros((-(-values.size // MX_BLOCK_VALUES), MX_BLOCK_VALUES), np.float32)
    blocks.reshape(-1)[: values.size] = values.reshape(-1)
    largest = np.abs(blocks).max(axis=1)
    exponents = np.frexp(largest)[1].astype(np.int64) - int(np.frexp(limit)[1])
    exponents[largest == 0] = MX_MIN_EXPONENT
    exponents = np.clip(exponents, MX_MIN_EXPONENT, MX_MAX_EXPONENT)
    scaled = np.ldexp(blocks, -exponents[:, None].astype(np.int32))
    kept = np.clip(scaled, -limit, limit).reshape(-1)[: values.size].reshape(values.shape)
    return ScaledTensor(kept.astype(number_format(dtype).numpy), exponents, MX_BLOCK_VALUES)


def scaled_cast(values: Tensor, dtype: str) -> Tensor:
    """*values* in the format called *dtype*, brought to its range by one scale for the tensor.

    Float formats: as `scale_per_tensor`; bf16 has float32's range and gets no scale. int8:
    symmetric, the largest magnitude becomes 127. NaN becomes 0 and an infinity the largest finite
    value, so that the scale is defined. The shape is kept; LinksimError for an unknown *dtype*.
    """
    fmt = number_format(dtype)
    if fmt.name == "bf16" or values.dtype == fmt.numpy:
        return cast(values, dtype)
    wide = values.astype(np.float32)
    largest = float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))
    wide = np.nan_to_num(wide, nan=0.0, posinf=largest, neginf=-largest)
    if fmt.name == "int8":
        return np.asarray(np.rint(wide / (largest or 1.0) * INT8_MAX).astype(np.int8))
    return scale_per_tensor(wide, dtype).values


def _largest_value(dtype: str) -> float:
    limits = ml_dtypes.finfo(number_format(dtype).numpy)  # type: ignore[no-untyped-call]
    return float(limits.max)


def _as_float32(tensor: Tensor, dtype: str) -> NDArray[np.float32]:
    if number_format(dtype).name == "int8":
        raise LinksimError("a power-of-two scale makes floats: int8 is no float format")
    if tensor.dtype.kind not in "fV":
        raise LinksimError(f"a tensor of {tensor.dtype} has no scale: expected floats")
    values = np.ascontiguousarray(tensor).astype(np.float32)
    if not np.isfinite(values).all():
        raise LinksimError(f"a tensor with NaN or infinity has no scale in {dtype}")
    return values
