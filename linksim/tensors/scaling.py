"""Casts with a scale, as a quantizer would choose it: one scale per tensor."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from linksim.tensors.dtypes import Tensor, cast, number_format

INT8_MAX = 127


def scaled_cast(values: Tensor, dtype: str) -> Tensor:
    """*values* in the format called *dtype*, brought to its range by one scale for the tensor.

    Float formats: the largest power of two that keeps the largest finite magnitude finite, so that
    only exponents move; bf16 has float32's range and gets no scale. int8: symmetric, the largest
    magnitude becomes 127. NaN becomes 0 and an infinity the largest finite value, so that the scale
    is defined. The shape is kept; LinksimError for an unknown *dtype*.
    """
    fmt = number_format(dtype)
    if fmt.name == "bf16" or values.dtype == fmt.numpy:
        return cast(values, dtype)
    # A finite number of any supported format stays finite in float64, whatever the scale.
    wide = values.astype(np.float64)
    largest = float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))
    wide = np.nan_to_num(wide, nan=0.0, posinf=largest, neginf=-largest)
    if fmt.name == "int8":
        return np.rint(wide / (largest or 1.0) * INT8_MAX).astype(np.int8)
    limit = float(ml_dtypes.finfo(fmt.numpy).max)  # type: ignore[no-untyped-call]
    octaves = int(np.floor(np.log2(limit / largest))) if largest else 0
    return np.ldexp(wide, octaves).astype(np.float32).astype(fmt.numpy)
