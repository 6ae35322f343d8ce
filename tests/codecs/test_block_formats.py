"""Formats to compare with: MX, NVFP4, blocks of fp8, and the quantizer on float32."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.codecs import BlockFloat, FloatQuantize
from linksim.codecs.block_formats import FORMS, LARGEST, BlockCodec
from linksim.codecs.distortion import distortion
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.scaling import scale_per_block
from tests.codecs.test_quantized import patterns
from tests.conftest import gaussian

BF16 = number_format("bf16").numpy
QUANTIZERS = [
    FloatQuantize(bits=bits, group=group, symmetric=symmetric, scale=scale)
    for bits, group in ((2, 32), (3, 7), (4, 128), (5, 100), (7, 1), (8, 64))
    for symmetric in (True, False)
    for scale in ("fp16", "bf16", "e8m0", "log8")
]
FLOATS = [BlockFloat(format=name) for name in FORMS]
CODECS: list[BlockCodec] = [*FLOATS, *QUANTIZERS]
EVERY = pytest.mark.parametrize("codec", CODECS, ids=repr)


@settings(max_examples=250)
@given(codec=st.sampled_from(CODECS), words=patterns())
def test_any_values_round_trip_at_the_foretold_size(codec: BlockCodec, words: np.ndarray) -> None:
    values = words.view(BF16)
    message = codec.encode(values)
    assert codec.encoded_nbytes(values) == len(message)
    decoded = codec.decode(message)
    assert decoded.shape == values.shape
    assert codec.round_trip(values).tobytes() == decoded.tobytes()
    parts = codec.segments(values)
    assert parts.wire_nbytes.sum() == len(message)
    assert parts.raw_nbytes.sum() == values.nbytes
    block = codec.get_config().get("group") or FORMS[codec.get_config()["format"]].block
    for start in range(0, len(values), block):
        finite = np.isfinite(values[start : start + block].astype(np.float32)).all()
        found = np.isfinite(decoded[start : start + block].astype(np.float32))
        assert found.all() if finite else not found.any()


@EVERY
def test_configuration_round_trips(codec: BlockCodec) -> None:
    again = numcodecs.get_codec(json.loads(json.dumps(codec.get_config())))
    assert again == codec
    assert again.encode(gaussian(300)) == codec.encode(gaussian(300))


@EVERY
def test_empty_and_zero_tensors(codec: BlockCodec) -> None:
    empty = codec.encode(gaussian(0))
    assert len(empty) == 8 + codec.shared_nbytes
    assert codec.decode(empty).shape == (0,)
    zeros = np.zeros(100, BF16)
    assert not codec.round_trip(zeros).astype(np.float32).any()


@pytest.mark.parametrize("name", FORMS)
def test_sizes_are_those_of_the_formats(name: str) -> None:
    """Bits per value: 8.25, 8.25, 6.25, 6.25, 4.25; 4.5; 8.25; and the header."""
    bits = {"mxfp8": 8.25, "mxfp6": 6.25, "mxfp4": 4.25, "nvfp4": 4.5, "fp8": 8.25}[
        name.partition("-")[0]
    ]
    header = 12 if name == "nvfp4" else 8
    codec = BlockFloat(format=name)
    assert codec.encoded_nbytes(gaussian(1280)) == header + bits * 160
    side = {"nvfp4": 1, "fp8-block128": 4}.get(name, 1)
    width = number_format(FORMS[name].element).bits
    short = header + 81 * side if name == "nvfp4" else header + (41 if side == 1 else 11) * side
    assert codec.encoded_nbytes(gaussian(1285)) == short + 160 * width + math.ceil(5 * width / 8)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("scale", "nbytes"), [("fp16", 2), ("bf16", 2), ("e8m0", 1), ("log8", 1)])
def test_sizes_of_the_quantizer(symmetric: bool, scale: str, nbytes: int) -> None:
    side = nbytes if symmetric else nbytes + 2
    for bits in range(2, 9):
        codec = FloatQuantize(bits=bits, group=100, symmetric=symmetric, scale=scale)
        expected = 8 + 3 * side + 2 * math.ceil(100 * bits / 8) + math.ceil(9 * bits / 8)
        assert len(codec.encode(gaussian(209))) == expected


@pytest.mark.parametrize("name", [n for n in FORMS if n.startswith("mx")])
def test_mx_values_are_those_of_the_specifications_rule(name: str) -> None:
    values = np.concatenate([gaussian(640), gaussian(77, 1, scale=1e-20), gaussian(64, 2, 1e20)])
    expected = scale_per_block(values, FORMS[name].element).restored().astype(BF16)
    assert BlockFloat(format=name).round_trip(values).tobytes() == expected.tobytes()


def scalar_nvfp4(values: np.ndarray) -> list[float]:
    """Value by value, in float32 as NumPy scalars have it."""
    levels = sorted({s * m for s in (1, -1) for m in (0, 0.5, 1, 1.5, 2, 3, 4, 6)})
    wide = [np.float32(v) for v in values.astype(np.float32)]
    whole = np.float32(max(abs(v) for v in wide) / np.float32(448 * 6))
    found = []
    for start in range(0, len(wide), 16):
        block = wide[start : start + 16]
        ratio = np.float32(max(abs(v) for v in block)) / np.float32(np.float32(6) * whole)
        scale = np.float32(ml_dtypes.float8_e4m3fn(min(ratio, np.float32(448)))) * whole
        for value in block:
            wanted = float(value / scale) if scale else 0.0
            gaps = [abs(level - wanted) for level in levels]
            nearest = [level for level, gap in zip(levels, gaps, strict=True) if gap == min(gaps)]
            # Of two as near, the one with an even last bit: 0, 1, 2 and 4.
            (level, *_) = sorted(nearest, key=lambda x: abs(x) not in (0, 1, 2, 4))
            found.append(float(BF16.type(np.float32(level) * scale)))
    return found


def test_nvfp4_is_the_scalar_one() -> None:
    values = gaussian(1600)
    values[64:80] *= np.array(2**-14, BF16)
    values[96:112] = 0
    found = BlockFloat(format="nvfp4").round_trip(values).astype(np.float64)
    assert found.tolist() == scalar_nvfp4(values)


def test_blocks_of_fp8_have_an_exact_scale() -> None:
    values = gaussian(256)
    found = BlockFloat(format="fp8-block128").round_trip(values)
    for start in (0, 128):
        block = values[start : start + 128].astype(np.float32)
        scale = np.abs(block).max() / np.float32(LARGEST["e4m3"])
        expected = (block / scale).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * scale
        assert found[start : start + 128].tobytes() == expected.astype(BF16).tobytes()


@settings(max_examples=250)
@given(
    codec=st.sampled_from(QUANTIZERS), seed=st.integers(0, 1 << 32), exponent=st.integers(-20, 10)
)
def test_errors_are_at_most_half_a_step(codec: FloatQuantize, seed: int, exponent: int) -> None:
    """A step is the range over the codes, as far above as the scale's format may round it."""
    values = gaussian(256, seed, scale=2.0**exponent)
    wide, found = values.astype(np.float64), codec.round_trip(values).astype(np.float64)
    coarse = {"fp16": 1 + 2**-11, "bf16": 1 + 2**-8, "e8m0": 2, "log8": 2**0.25}[codec.scale]
    for start in range(0, 256, codec.group):
        block = wide[start : start + codec.group]
        top = 2 ** (codec.bits - 1) - 1 if codec.symmetric else 2**codec.bits - 1
        reach = np.abs(block).max() if codec.symmetric else block.max() - block.min()
        minimum = 0.0 if codec.symmetric else np.abs(block.min()) * 2**-11
        # fp16 has no step below 2**-24, and loses all precision near it.
        lost = 2.0**-24 * top if codec.scale == "fp16" else 0.0
        step = coarse * (reach + minimum) / top
        # Half a step, what a scale rounded down leaves beyond the last code, and the rounding of
        # result and minimum.
        beyond = 0.0 if codec.scale in ("e8m0", "log8") else (coarse - 1) * reach
        bound = step / 2 + beyond + minimum + np.abs(block).max() * 2**-8 + lost
        assert np.abs(found[start : start + codec.group] - block).max() <= bound * (1 + 1e-5)


def test_rounding_scales_to_powers_of_two_costs_decibels() -> None:
    """And fp16 cannot hold the scales of gradients."""
    values, small = gaussian(1 << 14), gaussian(1 << 14, scale=1e-7)

    def ratio(scale: str, tensor: np.ndarray) -> float:
        codec = FloatQuantize(bits=4, group=32, symmetric=True, scale=scale)
        found = distortion(tensor, codec.round_trip(tensor)).snr_db
        assert found is not None
        return found

    assert ratio("bf16", values) > ratio("log8", values) + 0.5 > ratio("e8m0", values) + 2
    assert ratio("bf16", small) > 20 > 16 > ratio("fp16", small)


MX, NV, FP8 = (BlockFloat(format=n) for n in ("mxfp6-e3m2", "nvfp4", "fp8-block128"))
SYMMETRIC = FloatQuantize(bits=3, group=10, symmetric=True, scale="bf16")
PLAIN = FloatQuantize(bits=4, group=32, scale="fp16")


def put(codec: BlockCodec, index: int, part: bytes) -> tuple[BlockCodec, bytes]:
    message = codec.encode(gaussian(33))
    at = index % len(message)
    return codec, message[:at] + part + message[at + len(part) :]


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ((MX, b"1234567"), "7 bytes are no message header"),
        ((NV, bytes(11)), "11 bytes are no message header"),
        (put(MX, 4, b"\1"), r"header says version, form and block \[1, 3, 32\]: expected \[0, 3,"),
        (put(MX, 5, b"\2"), r"\[0, 2, 32\]"),
        (put(MX, 6, b"\x10"), r"\[0, 3, 16\]"),
        (put(MX, 0, b"\x22"), "35 bytes: expected 36 for 34 values"),
        (put(MX, 3, b"\xff"), "35 bytes: expected [0-9]+ for"),
        (put(MX, -1, b"\xff"), "bits are set behind the last code of a block"),
        (put(NV, 8, b"\0\0\xc0\x7f"), "the tensor's scale is NaN"),
        (put(NV, 8, b"\0\0\x80\xbf"), "a scale is negative or infinite"),
        (put(NV, 12, b"\x80"), "a scale is negative or infinite"),
        (put(FP8, 8, b"\0\0\x80\x7f"), "a scale is negative or infinite"),
        (put(FP8, 12, b"\x7f"), "an element is NaN or infinite"),
        (put(SYMMETRIC, 8, b"\0\0"), "a scale is not above 0 and finite, or NaN"),
        (put(SYMMETRIC, 8, b"\x80\x7f"), "a scale is not above 0 and finite, or NaN"),
        (put(SYMMETRIC, 10, b"\x04"), "a code is below -3"),
        (put(SYMMETRIC, 13, b"\xff"), "bits are set behind the last code of a block"),
        (put(PLAIN, 10, b"\0\x7c"), "a minimum is NaN or infinite"),
    ],
)
def test_what_no_encoder_wrote_is_named(case: tuple[BlockCodec, bytes], problem: str) -> None:
    codec, message = case
    with pytest.raises(LinksimError, match=f"^codec {codec.codec_id}: .*{problem}"):
        codec.decode(message)


@given(codec=st.sampled_from(CODECS), cut=st.integers(1, 100))
def test_truncation_is_always_refused(codec: BlockCodec, cut: int) -> None:
    with pytest.raises(LinksimError, match=f"^codec {codec.codec_id}"):
        codec.decode(codec.encode(gaussian(300))[:-cut])


@given(codec=st.sampled_from(CODECS), data=st.data())
def test_damage_is_refused_or_decodes_to_about_as_many_values(
    codec: BlockCodec, data: st.DataObject
) -> None:
    """A changed number of values shows unless the last byte of codes has room for it."""
    message = bytearray(codec.encode(gaussian(300)))
    bit = data.draw(st.integers(0, 8 * len(message) - 1))
    message[bit // 8] ^= 1 << bit % 8
    try:
        assert abs(codec.decode(bytes(message)).size - 300) <= (3 if bit < 32 else 0)
    except LinksimError as error:
        assert f"codec {codec.codec_id}: " in str(error)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: BlockFloat(format="mxfp5"), "block-float: format is 'mxfp5': expected mxfp8-e4m3"),
        (lambda: BlockFloat(dtype="fp16"), "block-float: dtype is 'fp16': expected 'bf16'"),
        (lambda: FloatQuantize(bits=9), "float-quantize: bits is 9: expected 2 to 8"),
        (lambda: FloatQuantize(group=0), "float-quantize: 0 values of a block: expected 1 to"),
        (lambda: FloatQuantize(scale="fp8"), "float-quantize: scale is 'fp8': expected fp16, bf16"),
    ],
)
def test_bad_parameters_are_refused(make: Callable[[], Any], problem: str) -> None:
    with pytest.raises(LinksimError, match=f"^codec {problem}"):
        make()
