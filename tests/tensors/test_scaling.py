"""Scaling to narrow formats: powers of two, maxima inside the range, MX blocks as specified."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.scaling import ScaledTensor, scale_per_block, scale_per_tensor
from tests.conftest import gaussian

Scale = Callable[[np.ndarray, str], ScaledTensor]

LIMITS = {"e4m3": 448.0, "e5m2": 57344.0, "e3m2": 28.0, "e2m3": 7.5, "e2m1": 6.0}
EVERY_FORMAT = pytest.mark.parametrize("dtype", LIMITS)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@EVERY_FORMAT
@given(largest=st.floats(2.0**-100, 2.0**100), seed=st.integers(0, 9))
def test_the_maximum_comes_just_inside_the_range(dtype: str, largest: float, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(-1, 1, 50).astype(np.float32) * np.float32(largest)
    scaled = scale_per_tensor(values, dtype)
    reach = np.abs(values).max() * 2.0 ** -float(scaled.exponents[0])
    assert LIMITS[dtype] / 2 < reach <= LIMITS[dtype]
    assert scaled.values.dtype == number_format(dtype).numpy
    assert np.isfinite(scaled.values.astype(np.float32)).all()
    assert scaled.scale_nbytes == 1


@EVERY_FORMAT
def test_the_limit_itself_is_kept_and_what_is_above_is_halved(dtype: str) -> None:
    limit = LIMITS[dtype]
    assert scale_per_tensor(numbers(limit, 1), dtype).exponents.tolist() == [0]
    assert scale_per_tensor(numbers(-limit, 1), dtype).values.astype(np.float32)[0] == -limit
    assert scale_per_tensor(numbers(np.nextafter(np.float32(limit), np.inf)), dtype).exponents == 1
    assert scale_per_tensor(numbers(limit / 2), dtype).exponents.tolist() == [-1]


def test_values_round_to_nearest_even() -> None:
    # 6 is the largest e2m1 value, so the scale is 1; its values are 0, .5, 1, 1.5, 2, 3, 4, 6.
    scaled = scale_per_tensor(numbers(6, 5, 2.5, 1.75, 0.25, 0.26, -3.5), "e2m1")
    assert scaled.values.astype(np.float32).tolist() == [6, 4, 2, 2, 0, 0.5, -4]


@EVERY_FORMAT
@pytest.mark.parametrize("scale", [scale_per_tensor, scale_per_block])
def test_restored_values_are_near(dtype: str, scale: Scale) -> None:
    values = gaussian(1000).reshape(25, 40)
    scaled = scale(values, dtype)
    wide = values.astype(np.float32)
    restored = scaled.restored()
    assert restored.shape == values.shape
    assert np.abs(restored - wide).max() <= np.abs(wide).max() / 4
    assert np.abs(restored - wide).mean() < np.abs(wide).mean() / 4


def test_a_block_has_the_scale_of_its_largest_exponent() -> None:
    # e2m1's largest exponent is 2: OCP MX 1.0 scales the block maximum into [4, 8) and clamps to 6.
    values = np.zeros(70, np.float32)
    values[0], values[1], values[32], values[69] = 7.9, -1.0, 0.3, 2.0**-200
    scaled = scale_per_block(values, "e2m1")
    assert scaled.exponents.tolist() == [0, -4, -127]
    found = scaled.values.astype(np.float32)
    assert (found[0], found[1], found[32]) == (6.0, -1.0, 4.0)
    assert scaled.scale_nbytes == 3
    assert scaled.block_values == 32


@EVERY_FORMAT
def test_blocks_reach_the_top_binade(dtype: str) -> None:
    values = (gaussian(3200).astype(np.float32) * np.logspace(-9, 9, 3200)).astype(np.float32)
    scaled = scale_per_block(values, dtype)
    reach = np.abs(scaled.values.astype(np.float32)).reshape(-1, 32).max(axis=1)
    top = 2.0 ** np.floor(np.log2(LIMITS[dtype]))
    assert (reach >= top).all()
    assert (reach <= LIMITS[dtype]).all()


@pytest.mark.parametrize("scale", [scale_per_tensor, scale_per_block])
def test_zeros_and_nothing(scale: Scale) -> None:
    for count in (0, 1, 33):
        scaled = scale(np.zeros(count, ml_dtypes.bfloat16), "e4m3")
        assert scaled.values.shape == (count,)
        assert not scaled.restored().any()


@pytest.mark.parametrize("scale", [scale_per_tensor, scale_per_block])
@pytest.mark.parametrize(
    ("values", "dtype", "problem"),
    [
        (numbers(1, np.nan), "e4m3", "NaN or infinity"),
        (numbers(1, np.inf), "e2m1", "NaN or infinity"),
        (np.ones(3, np.int8), "e4m3", "expected floats"),
        (numbers(1), "int8", "no float format"),
        (numbers(1), "e9m9", "unknown dtype"),
    ],
)
def test_what_has_no_scale(scale: Scale, values: np.ndarray, dtype: str, problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        scale(values, dtype)
