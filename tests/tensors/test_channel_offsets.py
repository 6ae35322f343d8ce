"""Channel offsets are a bijection on bf16, and casts with a scale use the whole range."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.tensors.channel_offsets import (
    add_offsets,
    exponents,
    fit_channel_offsets,
    subtract_offsets,
)
from linksim.tensors.scaling import scaled_cast
from tests.conftest import gaussian

ALL = np.arange(1 << 16, dtype=np.uint16).view(ml_dtypes.bfloat16)


def patterns(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint16)


@given(st.integers(-300, 300))
def test_every_pattern_has_one_image_and_comes_back(offset: int) -> None:
    values = ALL.reshape(-1, 1)
    offsets = np.array([offset], np.int16)
    image = subtract_offsets(values, offsets)
    assert image.dtype == values.dtype
    assert image.shape == values.shape
    assert len(np.unique(patterns(image))) == 1 << 16
    assert np.array_equal(patterns(add_offsets(image, offsets)), patterns(values))
    # Sign and mantissa stay; the exponent moves down by the offset, modulo 256.
    assert np.array_equal(patterns(image) & 0x807F, patterns(values) & 0x807F)
    moved = exponents(values).astype(int) - offset
    assert np.array_equal(exponents(image), moved % 256)


def test_a_power_of_two_per_channel_is_what_the_table_takes_out() -> None:
    scales = np.array([-9, 0, 3, 12])
    even = gaussian(4000).reshape(-1, 4).astype(np.float32)
    values = np.ldexp(even, scales).astype(ml_dtypes.bfloat16)
    offsets = fit_channel_offsets(values)
    # The lower middle one of four medians is the reference: that of the second channel.
    assert offsets.tolist() == scales.tolist()
    assert offsets.dtype == np.int16
    scaleless = exponents(even.astype(ml_dtypes.bfloat16))
    assert np.array_equal(exponents(subtract_offsets(values, offsets)), scaleless)


def test_leading_axes_do_not_matter() -> None:
    values = gaussian(3 * 5 * 8).reshape(3, 5, 8)
    offsets = fit_channel_offsets(values)
    assert np.array_equal(offsets, fit_channel_offsets(values.reshape(15, 8)))
    flat = subtract_offsets(values.reshape(15, 8), offsets)
    assert np.array_equal(
        patterns(subtract_offsets(values, offsets)).reshape(15, 8), patterns(flat)
    )


def test_what_has_no_channels_is_refused() -> None:
    with pytest.raises(LinksimError, match="for bf16, not float16"):
        exponents(np.zeros(3, np.float16))
    with pytest.raises(LinksimError, match="one row"):
        fit_channel_offsets(np.zeros((0, 4), ml_dtypes.bfloat16))
    with pytest.raises(LinksimError, match=r"3 channel offsets for values of shape \[2, 4\]"):
        subtract_offsets(np.zeros((2, 4), ml_dtypes.bfloat16), np.zeros(3, np.int16))


@pytest.mark.parametrize("dtype", ["fp16", "e4m3", "e5m2", "e3m2", "e2m3", "e2m1"])
def test_a_float_cast_is_scaled_by_the_largest_power_of_two(dtype: str) -> None:
    values = gaussian(1000, scale=3e-7)
    cast = scaled_cast(values, dtype)
    limit = float(ml_dtypes.finfo(cast.dtype).max)
    ratio = np.abs(values.astype(np.float64)).max() / limit
    exact = np.ldexp(values.astype(np.float64), -int(np.ceil(np.log2(ratio))))
    assert np.array_equal(cast.astype(np.float64), exact.astype(cast.dtype).astype(np.float64))
    assert limit / 2 < np.abs(exact).max() <= limit
    # Another power of two is the same tensor.
    assert np.array_equal(
        cast, scaled_cast((values.astype(np.float32) * 64).astype(values.dtype), dtype)
    )


def test_int8_is_symmetric_and_bf16_stays() -> None:
    values = np.array([[-4.0, 2.0], [1.0, 0.0]]).astype(ml_dtypes.bfloat16)
    assert scaled_cast(values, "int8").tolist() == [[-127, 64], [32, 0]]
    assert scaled_cast(values, "bf16") is values
    zeros = np.zeros(3, ml_dtypes.bfloat16)
    assert scaled_cast(zeros, "int8").tolist() == scaled_cast(zeros, "e4m3").tolist() == [0, 0, 0]
    odd = np.array([np.nan, np.inf, -1.0]).astype(ml_dtypes.bfloat16)
    assert scaled_cast(odd, "int8").tolist() == [0, 127, -127]
    with pytest.raises(LinksimError, match="unknown dtype 'int9'"):
        scaled_cast(values, "int9")
