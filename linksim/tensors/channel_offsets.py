"""Per-channel exponent offsets: a bijection on bf16 tensors that brings channels to one scale.

In activations the last axis is the channel, and channels differ in scale far more than tokens do.
A table of one exponent offset per channel, agreed beforehand like a codebook, takes that out:

    exponent field of channel c  ->  (exponent field - offset[c]) mod 256

Sign and mantissa stay, so every bit pattern has exactly one image and the inverse is exact. The
images are bit patterns to be coded, not numbers to compute with: an exponent may wrap around.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, number_format

Offsets = NDArray[np.int16]
"""One exponent offset per channel, int16 [channels]."""

BF16 = number_format("bf16")
MANTISSA_BITS = 7
EXPONENT_MASK = 0xFF
REST_MASK = 0x807F
"""Sign and mantissa of a bf16 pattern."""


def exponents(values: Tensor) -> NDArray[np.uint8]:
    """Exponent fields of bf16 *values*, in their shape; LinksimError for another format."""
    if values.dtype != BF16.numpy:
        raise LinksimError(f"exponent offsets are for bf16, not {values.dtype}")
    fields = BF16.patterns(values) >> MANTISSA_BITS & EXPONENT_MASK
    return fields.astype(np.uint8).reshape(values.shape)


def fit_channel_offsets(values: Tensor) -> Offsets:
    """Median exponent of every channel minus the median of them all.

    *values* bf16 [..., channels] gives int16 [channels]. Of an even number of exponents the lower
    middle one is the median, so offsets are whole. LinksimError where there is no value.
    """
    if values.ndim < 1 or not values.size:
        raise LinksimError("channel offsets need at least one row of values")
    fields = exponents(values).reshape(-1, values.shape[-1])
    middle = _lower_median(fields, axis=0)
    return (middle - _lower_median(middle, axis=0)).astype(np.int16)


def subtract_offsets(values: Tensor, offsets: Offsets) -> Tensor:
    """*values* bf16 [..., channels] with the offset of its channel taken off every exponent.

    Raises LinksimError where *offsets* has not one entry per channel.
    """
    if offsets.shape != values.shape[-1:]:
        raise LinksimError(
            f"{len(offsets)} channel offsets for values of shape {list(values.shape)}: expected "
            "one per entry of the last axis"
        )
    patterns = BF16.patterns(values).reshape(values.shape)
    moved = (exponents(values).astype(np.int32) - offsets) & EXPONENT_MASK
    image = patterns & REST_MASK | (moved << MANTISSA_BITS).astype(np.uint16)
    return image.astype(np.uint16).view(BF16.numpy)


def add_offsets(values: Tensor, offsets: Offsets) -> Tensor:
    """The inverse of `subtract_offsets`."""
    return subtract_offsets(values, (-offsets).astype(np.int16))


def _lower_median(numbers: NDArray[np.integer], axis: int) -> NDArray[np.int32]:
    ranked = np.sort(numbers.astype(np.int32), axis=axis)
    return np.asarray(np.take(ranked, (numbers.shape[axis] - 1) // 2, axis=axis))
