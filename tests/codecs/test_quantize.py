"""The group quantizer: every bit against a scalar one, and its error against exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs.quantize import GroupQuantizer, QuantizedGroups, Spikes
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from tests.codecs.quantizer_quality import (
    decibels,
    kind_row,
    numbers,
    patterns_by_kind,
    reference,
    rounded_to_bf16,
    signal_and_noise,
)
from tests.codecs.scalar_quantizer import ScalarGroup, dequantized, quantized
from tests.conftest import gaussian
from tests.docs.pages import rows, section, text
from tests.golden.quantize import FILE, cases

ZEROS = ("point", "min")
BITS = range(2, 9)


def all_quantizers(group: int = 32, spikes: bool = False) -> list[GroupQuantizer]:
    return [GroupQuantizer(bits=b, group=group, zero=z, spikes=spikes) for z in ZEROS for b in BITS]


def label(quantizer: GroupQuantizer) -> str:
    spikes = "-spikes" if quantizer.spikes else ""
    return f"{quantizer.zero}-b{quantizer.bits}-g{quantizer.group}{spikes}"


EVERY = pytest.mark.parametrize(
    "quantizer",
    [*all_quantizers(), *all_quantizers(spikes=True), GroupQuantizer(bits=4, group=128)],
    ids=label,
)


def windowed(seed: int, exponent: int, spread: int, signs: int, groups: int = 1) -> np.ndarray:
    """uint16 [groups * 32]: random significands, exponents in a window, signs of one or both."""
    draw = np.random.default_rng(seed)
    count = 32 * groups
    e = np.clip(exponent + draw.integers(0, spread + 1, count), 0, 254)
    words = (e << 7) | draw.integers(0, 128, count)
    negative = draw.integers(0, 2, count) if signs == 2 else np.full(count, signs)
    return (words | (negative << 15)).astype(np.uint16)


GROUPS = st.one_of(
    st.builds(
        windowed,
        st.integers(0, 1 << 32),
        st.integers(0, 254),
        st.sampled_from([0, 1, 3, 12, 250]),
        st.integers(0, 2),
    ),
    st.lists(st.integers(0, 0xFFFF), min_size=32, max_size=32).map(lambda x: np.array(x, "u2")),
    st.lists(
        st.sampled_from([0, 0x8000, 1, 0x8001, 0x7F, 0x80, 0x8080, 0x7F7F, 0xFF7F, 0x3F80]),
        min_size=32,
        max_size=32,
    ).map(lambda x: np.array(x, "u2")),
)
"""One group of 32: a window of exponents, any patterns at all, or nothing but edges."""
FINITE = GROUPS.map(lambda x: np.where((x & 0x7F80) == 0x7F80, x & 0xBFFF, x).astype("u2"))


def as_scalar(groups: QuantizedGroups, row: int = 0) -> ScalarGroup:
    spikes = groups.spikes and (
        (int(groups.spikes.low[row]), int(groups.spikes.low_index[row])),
        (int(groups.spikes.high[row]), int(groups.spikes.high_index[row])),
    )
    return ScalarGroup(
        int(groups.scale[row]), int(groups.zero[row]), groups.codes[row].tolist(), spikes
    )


# Every bit.


@pytest.mark.parametrize("quantizer", all_quantizers(), ids=label)
@given(patterns=GROUPS, spikes=st.booleans())
def test_groups_and_values_are_the_scalar_ones(
    quantizer: GroupQuantizer, patterns: np.ndarray, spikes: bool
) -> None:
    quantizer = GroupQuantizer(bits=quantizer.bits, zero=quantizer.zero, spikes=spikes)
    groups = quantizer.quantize(patterns)
    expected = quantized(quantizer, patterns.tolist())
    assert as_scalar(groups) == expected
    assert quantizer.dequantize(groups).tolist() == dequantized(quantizer, expected)


@pytest.mark.parametrize("quantizer", all_quantizers(), ids=label)
@given(seed=st.integers(0, 1 << 32), exponent=st.integers(0, 255))
def test_any_group_decodes_as_the_scalar_one_does(
    quantizer: GroupQuantizer, seed: int, exponent: int
) -> None:
    """Scales, zeros and codes that no quantizer makes, too."""
    draw = np.random.default_rng(seed)
    scale = (exponent << 7) | draw.integers(0, 128, 1)
    zero = draw.integers(0, 256 if quantizer.has_zero_point else 1 << 16, 1)
    codes = draw.integers(0, 256, (1, 32)).astype(np.uint8)
    groups = QuantizedGroups(scale.astype(np.uint16), zero.astype(np.uint16), codes)
    assert quantizer.dequantize(groups).tolist() == dequantized(quantizer, as_scalar(groups))


@pytest.mark.parametrize("name", list(cases()))
def test_golden_vectors(name: str) -> None:
    vectors = np.load(FILE, allow_pickle=False)
    quantizer, patterns = cases()[name], vectors["patterns"]
    records = vectors[f"{name}.records"].tobytes()
    assert quantizer.pack(quantizer.quantize(patterns)) == records
    groups = quantizer.unpack(records, len(patterns))
    decoded = quantizer.dequantize(groups, len(patterns))
    assert decoded.tolist() == vectors[f"{name}.decoded"].tolist()


def wrong_reciprocal(quantizer: GroupQuantizer) -> None:
    table = list(quantizer.reciprocals)
    table[0x38] ^= 1  # the significand 184, which golden groups have
    quantizer.__dict__["reciprocals"] = tuple(table)


def test_one_wrong_bit_of_a_table_is_seen() -> None:
    """The comparisons above can fail: a flipped bit of one reciprocal changes codes."""
    patterns = gaussian(32 * 2000).view(np.uint16)
    for quantizer in (GroupQuantizer(bits=4), GroupQuantizer(bits=4, zero="min")):
        good = quantizer.quantize(patterns)
        wrong_reciprocal(quantizer)
        bad = quantizer.quantize(patterns)
        changed = (bad.codes != good.codes).any(axis=1)
        assert changed.any()
        assert (good.scale[changed] & 127 == 0x38).all()
        row = int(np.argmax(changed))
        group = patterns[32 * row : 32 * row + 32].tolist()
        assert as_scalar(good, row) == quantized(quantizer, group) != as_scalar(bad, row)


# What the page says of special values.


@EVERY
@pytest.mark.parametrize("pattern", [0x7F80, 0xFF80, 0x7FC0, 0xFFFF, 0x7F81])
def test_a_value_that_is_no_number_poisons_its_group_alone(
    quantizer: GroupQuantizer, pattern: int
) -> None:
    patterns = gaussian(3 * quantizer.group).view(np.uint16).copy()
    clean = quantizer.dequantize(quantizer.quantize(patterns)).reshape(3, -1)
    patterns[quantizer.group + 9] = pattern
    groups = quantizer.quantize(patterns)
    assert groups.scale[1] == 0x7FC0
    assert groups.zero[1] == quantizer.poisoned_zero
    assert not groups.codes[1].any()
    decoded = quantizer.dequantize(groups).reshape(3, -1)
    assert (decoded[1] == 0x7FC0).all()
    assert decoded[[0, 2]].tolist() == clean[[0, 2]].tolist()


@EVERY
@given(pattern=st.integers(0, 0xFFFF).filter(lambda u: (u & 0x7F80) != 0x7F80))
def test_constant_groups(quantizer: GroupQuantizer, pattern: int) -> None:
    patterns = np.full(quantizer.group, pattern, np.uint16)
    decoded = quantizer.dequantize(quantizer.quantize(patterns))
    kept = 2 if quantizer.spikes else 0
    assert len(set(decoded.tolist())) <= 1 + (kept > 0)
    assert (decoded == pattern).sum() >= kept
    exponent = (pattern >> 7) & 255
    if 32 <= exponent < 254:
        value, back = numbers(patterns)[0], numbers(decoded)
        if quantizer.zero == "min":
            assert (back == value).all()
        else:
            allowed = 2.0 ** -(quantizer.scale_fraction_bits + 1) + 2.0**-8
            assert (abs(back - value) <= allowed * abs(value)).all()


@EVERY
def test_zeros_and_tiny_values_become_zero(quantizer: GroupQuantizer) -> None:
    patterns = np.resize(np.array([0x0000, 0x8000, 0x0001, 0x807F], np.uint16), quantizer.group)
    groups = quantizer.quantize(patterns)
    decoded = quantizer.dequantize(groups).copy()
    least = 32 if quantizer.has_zero_point else 24
    assert groups.scale.tolist() == [(least - quantizer.bits) << 7]
    if groups.spikes is not None:
        # The last maximum and the first minimum are subnormal, and kept.
        assert decoded[[3, quantizer.group - 2]].tolist() == [0x807F, 0x0001]
        decoded[[3, quantizer.group - 2]] = 0
    assert not decoded.any()


@EVERY
def test_the_largest_numbers_saturate(quantizer: GroupQuantizer) -> None:
    patterns = np.resize(np.array([0x7F7F, 0xFF7F, 0x7F00, 0x0000], np.uint16), quantizer.group)
    decoded = quantizer.dequantize(quantizer.quantize(patterns))
    assert ((decoded & 0x7F80) != 0x7F80).all()
    assert (np.sign(numbers(decoded)) == np.sign(numbers(patterns)))[[0, 1, 2]].all() or (
        quantizer.bits == 2
    )


@given(patterns=GROUPS, bits=st.integers(2, 8), zero=st.sampled_from(ZEROS))
def test_spikes_are_two_extremes_at_two_places(patterns: np.ndarray, bits: int, zero: str) -> None:
    quantizer = GroupQuantizer(bits=bits, zero=zero, spikes=True)
    groups = quantizer.quantize(patterns)
    spikes = groups.spikes
    assert spikes is not None
    low, high = int(spikes.low_index[0]), int(spikes.high_index[0])
    assert low != high
    order = np.where(patterns >> 15, patterns ^ 0xFFFF, patterns | 0x8000)
    assert (order[low], order[high]) == (order.min(), order.max())
    assert low == np.flatnonzero(order == order.min())[0]
    assert high == np.flatnonzero(order == order.max())[-1]
    if groups.scale[0] != 0x7FC0:
        decoded = quantizer.dequantize(groups)
        assert (decoded[low], decoded[high]) == (patterns[low], patterns[high])


@pytest.mark.parametrize("count", [0, 1, 31, 33, 95])
def test_a_last_group_is_filled_with_zeros(count: int) -> None:
    patterns = gaussian(count).view(np.uint16)
    for quantizer in (GroupQuantizer(bits=4), GroupQuantizer(bits=3, zero="min", spikes=True)):
        groups = quantizer.quantize(patterns)
        padded = np.concatenate([patterns, np.zeros(-count % 32, np.uint16)])
        assert quantizer.pack(groups) == quantizer.pack(quantizer.quantize(padded))
        assert len(quantizer.dequantize(groups, count)) == count


# How near it comes.


@pytest.mark.parametrize("quantizer", all_quantizers(), ids=label)
@given(
    seed=st.integers(0, 1 << 32),
    exponent=st.integers(60, 240),
    spread=st.sampled_from([0, 1, 3, 12]),
    signs=st.integers(0, 2),
)
def test_largest_error(
    quantizer: GroupQuantizer, seed: int, exponent: int, spread: int, signs: int
) -> None:
    """9/16 or 5/8 of a step; at the ends what the rounded scale does not reach, too."""
    patterns = windowed(seed, exponent, spread, signs, groups=16)
    groups = quantizer.quantize(patterns)
    values, scale = numbers(patterns).reshape(-1, 32), numbers(groups.scale)[:, None]
    codes, zero = groups.codes.astype(float), groups.zero.astype(float)[:, None]
    if quantizer.zero == "point":
        exact, allowed = (codes - zero) * scale, 9 / 16
    else:
        exact, allowed = numbers(groups.zero)[:, None] + codes * scale, 5 / 8
    steps = abs(values - exact) / scale
    ends = (groups.codes == 0) | (groups.codes == quantizer.top_code)
    assert steps[~ends].max(initial=0) <= allowed
    beyond = quantizer.top_code / (2 << quantizer.scale_fraction_bits)
    assert steps.max() <= allowed + beyond + 1 / 64
    if quantizer.zero == "point":
        decoded = numbers(quantizer.dequantize(groups)).reshape(-1, 32)
        assert decoded.tolist() == rounded_to_bf16(exact).tolist()


LOSSES = {"point": (0.01, 0.02, 0.06, 0.02, 0.02, 0.04, 0.15), "min": (0.05,) * 5 + (0.15, 0.25)}
"""dB below exact arithmetic that are allowed at g = 32, for b = 2 to 8."""


@pytest.mark.parametrize("quantizer", all_quantizers(), ids=label)
def test_quality_is_that_of_exact_arithmetic(quantizer: GroupQuantizer) -> None:
    patterns = gaussian(1 << 17, scale=1.0).view(np.uint16)
    signal, noise = signal_and_noise(quantizer, patterns)
    exact = numbers(reference(quantizer, patterns).astype(number_format("bf16").numpy).view("u2"))
    least = float(np.square(exact - numbers(patterns)).sum())
    loss = decibels(signal, least) - decibels(signal, noise)
    assert loss < LOSSES[quantizer.zero][quantizer.bits - 2]


@pytest.mark.parametrize("zero", ZEROS)
def test_spikes_pay_where_a_group_has_an_outlier(zero: str) -> None:
    patterns = gaussian(128 * 100).view(np.uint16).copy()
    patterns[::128] = 0x4120  # 10 among values of 0.02
    kept, lost = (GroupQuantizer(bits=4, group=128, zero=zero, spikes=s) for s in (True, False))
    assert signal_and_noise(kept, patterns)[1] < 0.01 * signal_and_noise(lost, patterns)[1]


@pytest.mark.parametrize("bits", [2, 3, 4])
@given(seed=st.integers(0, 1 << 32), exponent=st.integers(60, 240), signs=st.integers(0, 2))
def test_decoded_groups_that_span_all_codes_come_back(
    bits: int, seed: int, exponent: int, signs: int
) -> None:
    quantizer = GroupQuantizer(bits=bits)
    groups = quantizer.quantize(windowed(seed, exponent, 2, signs, groups=16))
    again = quantizer.quantize(quantizer.dequantize(groups))
    full = (groups.codes.min(axis=1) == 0) & (groups.codes.max(axis=1) == quantizer.top_code)
    for name in ("scale", "zero", "codes"):
        assert getattr(again, name)[full].tolist() == getattr(groups, name)[full].tolist()


@given(patterns=FINITE, bits=st.integers(2, 8))
def test_a_decoder_may_use_float32(patterns: np.ndarray, bits: int) -> None:
    quantizer = GroupQuantizer(bits=bits)
    groups = quantizer.quantize(patterns)
    scale = (groups.scale.astype(np.uint32) << 16).view(np.float32)[:, None]
    steps = groups.codes.astype(np.float32) - groups.zero.astype(np.float32)[:, None]
    with np.errstate(over="ignore"):
        product = np.clip(steps * scale, -3.3895314e38, 3.3895314e38)
    decoded = numbers(quantizer.dequantize(groups))
    assert rounded_to_bf16(product.astype(np.float64)).reshape(-1).tolist() == decoded.tolist()


def test_the_pages_ratios_are_measured(bundled_trace: Path) -> None:
    """One row of its table; `quantizer_quality` prints all."""
    tensors = patterns_by_kind(bundled_trace)["kv_key"]
    listed = rows(section(text("quantizer.md"), "## Quality"))
    assert listed["kv_key"] == kind_row(tensors)


# What is refused.


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"bits": 1}, "bits is 1: expected 2 to 8"),
        ({"bits": 9}, "bits is 9: expected 2 to 8"),
        ({"bits": 4, "group": 48}, "group is 48: expected 32, 64, 128"),
        ({"bits": 4, "zero": "mid"}, "zero is 'mid': expected point or min"),
    ],
)
def test_parameters_that_make_no_quantizer(parameters: dict, problem: str) -> None:
    with pytest.raises(LinksimError, match=f"^{problem}$"):
        GroupQuantizer(**parameters)


PLAIN = GroupQuantizer(bits=4)
ONE = PLAIN.quantize(np.zeros(32, np.uint16))
SPIKED = GroupQuantizer(bits=4, spikes=True)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: PLAIN.quantize(gaussian(32)), "got bfloat16: expected bf16 bit patterns"),
        (lambda: SPIKED.dequantize(ONE), "groups without spikes: expected"),
        (lambda: GroupQuantizer(bits=4, group=64).dequantize(ONE), "groups of 32 values"),
        (lambda: PLAIN.dequantize(ONE, 33), "1 groups of 32 values: expected 2 for 33"),
        (lambda: QuantizedGroups(ONE.scale, ONE.zero, ONE.codes[0]), "codes: got 1 dimensions"),
        (lambda: QuantizedGroups(ONE.scale[:0], ONE.zero, ONE.codes), "scale: got uint16 of shape"),
        (
            lambda: Spikes(ONE.scale, ONE.scale, ONE.scale, ONE.scale),
            "low_index: got uint16 of shape",
        ),
    ],
)
def test_arrays_that_make_no_groups(call: Callable[[], object], problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        call()
