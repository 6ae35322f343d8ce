"""How quantized groups lie in bytes: the worked example, sizes, and what a decoder refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from linksim.codecs.quantize import GroupQuantizer, QuantizedGroups
from linksim.codecs.quantize.records import planes_of
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from tests.codecs.quantizer_quality import numbers
from tests.conftest import gaussian
from tests.docs.pages import blocks, rows, section, text

PAGE = text("quantizer.md")
QUANTIZERS = st.builds(
    GroupQuantizer,
    bits=st.integers(2, 8),
    group=st.sampled_from([32, 64, 128]),
    zero=st.sampled_from(["point", "min"]),
    spikes=st.booleans(),
)

# docs/quantizer.md: b = 3, g = 32, 40 values.
EXAMPLE_QUANTIZER = GroupQuantizer(bits=3)
EXAMPLE_VALUES = (11 * np.arange(40) % 41 - 13) / 8
EXAMPLE_PATTERNS = EXAMPLE_VALUES.astype(number_format("bf16").numpy).view(np.uint16)
EXAMPLE = bytes.fromhex("727e327e a4e4e42439393949 087f803f 4e4e555555555555 fa000000")


def same(left: QuantizedGroups, right: QuantizedGroups) -> bool:
    pairs = [(left.scale, right.scale), (left.zero, right.zero), (left.codes, right.codes)]
    if left.spikes is not None and right.spikes is not None:
        names = ("low", "high", "low_index", "high_index")
        pairs += [(getattr(left.spikes, name), getattr(right.spikes, name)) for name in names]
    return all(np.array_equal(one, other) for one, other in pairs)


def test_worked_example() -> None:
    groups = EXAMPLE_QUANTIZER.quantize(EXAMPLE_PATTERNS)
    assert groups.scale.tolist() == [0x3F38, 0x3F18]
    assert groups.zero.tolist() == [2, 2]
    assert groups.codes[0, :8].tolist() == [0, 2, 4, 5, 0, 2, 4, 6]
    assert set(groups.codes[1, 8:].tolist()) == {2}
    assert EXAMPLE_QUANTIZER.pack(groups) == EXAMPLE
    assert same(EXAMPLE_QUANTIZER.unpack(EXAMPLE, 40), groups)
    decoded = numbers(EXAMPLE_QUANTIZER.dequantize(groups, 40))
    assert decoded[:8].tolist() == [-1.4375, 0, 1.4375, 2.15625, -1.4375, 0, 1.4375, 2.875]


def test_the_page_has_this_example() -> None:
    (listed,) = [body for language, body in blocks(PAGE) if language == "hex"]
    assert bytes.fromhex(listed) == EXAMPLE


def test_the_pages_sizes_are_the_quantizers() -> None:
    listed = rows(section(PAGE, "## Records"))
    for name, zero, spikes in [
        ("`point`", "point", False),
        ("`point`, spikes", "point", True),
        ("`min`", "min", False),
        ("`min`, spikes", "min", True),
    ]:
        cells = []
        for bits in range(2, 9):
            made = [
                GroupQuantizer(bits=bits, group=g, zero=zero, spikes=spikes) for g in (32, 64, 128)
            ]
            cells.append(" / ".join(f"{quantizer.bits_per_value:g}" for quantizer in made))
        assert listed[name.strip("`")] == cells


def test_planes() -> None:
    expected = {2: (2,), 3: (2, 1), 4: (4,), 5: (4, 1), 6: (4, 2), 7: (4, 2, 1), 8: (8,)}
    assert {bits: planes_of(bits) for bits in range(2, 9)} == expected


@given(
    quantizer=QUANTIZERS,
    patterns=hnp.arrays(np.uint16, st.integers(0, 300), elements=st.integers(0, 0xFFFF)),
)
def test_groups_round_trip_at_the_foretold_size(
    quantizer: GroupQuantizer, patterns: np.ndarray
) -> None:
    groups = quantizer.quantize(patterns)
    message = quantizer.pack(groups)
    assert len(message) == quantizer.packed_nbytes(len(patterns))
    assert len(message) % 4 == 0
    assert same(quantizer.unpack(message, len(patterns)), groups)


@given(quantizer=QUANTIZERS, count=st.integers(0, 300))
def test_codes_lie_where_the_page_says(quantizer: GroupQuantizer, count: int) -> None:
    """Value i of 32, w bits of it: bit i w of its plane, the planes of 32 values together."""
    groups = quantizer.quantize(gaussian(count).view(np.uint16))
    message = quantizer.pack(groups)
    layout = quantizer.records
    for value in range(0, count, 7):
        record, inside = divmod(value, layout.values)
        block, lane = divmod(inside, 32)
        start = 8 * layout.nbytes * record + layout.groups * layout.metadata_bits
        start += block * 32 * quantizer.bits
        code = 0
        for width in layout.planes:
            stream = int.from_bytes(message, "little") >> (start + lane * width)
            code = code << width | stream & ((1 << width) - 1)
            start += 32 * width
        assert code == groups.codes[value // quantizer.group, value % quantizer.group]


@pytest.mark.parametrize("length", [n for n in range(len(EXAMPLE) * 2 + 1) if n != len(EXAMPLE)])
def test_every_other_length_is_refused(length: int) -> None:
    with pytest.raises(LinksimError, match=f"^{length} bytes: expected 28 for 40 values$"):
        EXAMPLE_QUANTIZER.unpack((EXAMPLE * 2)[:length], 40)


@pytest.mark.parametrize("bit", range(8 * len(EXAMPLE)))
def test_a_flipped_bit_is_refused_or_changes_what_comes_out(bit: int) -> None:
    damaged = bytearray(EXAMPLE)
    damaged[bit // 8] ^= 1 << bit % 8
    groups = EXAMPLE_QUANTIZER.quantize(EXAMPLE_PATTERNS)
    try:
        assert not same(EXAMPLE_QUANTIZER.unpack(bytes(damaged), 40), groups)
    except LinksimError as error:
        assert "group" in str(error)


@given(quantizer=QUANTIZERS, seed=st.integers(0, 1 << 32), records=st.integers(0, 3))
def test_random_bytes_are_refused_or_come_back(
    quantizer: GroupQuantizer, seed: int, records: int
) -> None:
    data = np.random.default_rng(seed).bytes(records * quantizer.records.nbytes)
    try:
        groups = quantizer.unpack(data, records * quantizer.records.values)
    except LinksimError:
        return
    assert quantizer.pack(groups) == data


PLAIN = GroupQuantizer(bits=5)
MINIMUM = GroupQuantizer(bits=4, zero="min")
SPIKED = GroupQuantizer(bits=4, spikes=True)


def message(quantizer: GroupQuantizer, *, poisoned: bool = False) -> bytearray:
    """One record."""
    patterns = gaussian(quantizer.records.values).view(np.uint16).copy()
    if poisoned:
        patterns[5] = 0x7F80
    return bytearray(quantizer.pack(quantizer.quantize(patterns)))


def changed(
    quantizer: GroupQuantizer, changes: dict[int, int], *, poisoned: bool = False
) -> tuple[GroupQuantizer, bytes, int]:
    data = message(quantizer, poisoned=poisoned)
    for index, value in changes.items():
        data[index] = value
    return quantizer, bytes(data), quantizer.records.values


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (changed(PLAIN, {1: 1}), "group 0, reserved byte: expected 0"),
        (changed(PLAIN, {3: 0xBC}), "group 0, scale: expected a positive one of exponent 27 to"),
        (changed(PLAIN, {2: 0x80, 3: 0x7F}), "group 0, scale: expected a positive one"),
        (changed(PLAIN, {2: 0x00, 3: 0x7E}), "group 0, scale: expected a positive one"),
        (changed(PLAIN, {2: 0x00, 3: 0x0D}), "group 0, scale: expected a positive one"),
        (changed(PLAIN, {0: 32}), "group 0, zero: expected at most 31"),
        (changed(PLAIN, {2: 0xC0, 3: 0x7F}), "group 0, scale: expected 0x7FC0 only with"),
        (changed(PLAIN, {0: 1}, poisoned=True), "group 0, scale: expected 0x7FC0 only with"),
        (changed(PLAIN, {9: 1}, poisoned=True), "group 0, scale: expected 0x7FC0 only with"),
        (changed(MINIMUM, {2: 0x80, 3: 0x7F}), "group 0, zero: expected a finite minimum"),
        (changed(MINIMUM, {2: 0xC1}, poisoned=True), "group 0, scale: expected 0x7FC0 only with"),
        (changed(SPIKED, {6: 32}), "group 0, low_index: expected less than 32"),
        (changed(SPIKED, {7: 255}), "group 0, high_index: expected less than 32"),
        (changed(SPIKED, {6: 3, 7: 3}), "group 0, high_index: expected another index"),
        (changed(SPIKED, {1: 0x7F, 0: 0}), "group 0, low: expected no more than its high"),
        (changed(SPIKED, {2: 0x80, 3: 0x7F}), "group 0, spikes: expected finite ones"),
        (changed(SPIKED, {3: 0x40}, poisoned=True), "group 0, spikes: expected one that is not"),
    ],
)
def test_every_rule(case: tuple[GroupQuantizer, bytes, int], problem: str) -> None:
    quantizer, data, count = case
    with pytest.raises(LinksimError, match=f"^{problem}"):
        quantizer.unpack(data, count)


def test_what_lies_behind_the_last_value_is_checked() -> None:
    assert len(EXAMPLE_QUANTIZER.unpack(EXAMPLE, 33)) == 2
    with pytest.raises(LinksimError, match=r"^group 1 is behind the last value: expected a group"):
        EXAMPLE_QUANTIZER.unpack(EXAMPLE, 32)
    alone = EXAMPLE_QUANTIZER.pack(EXAMPLE_QUANTIZER.quantize(EXAMPLE_PATTERNS[:32]))
    assert len(EXAMPLE_QUANTIZER.unpack(alone, 32)) == 1


def refused_by_pack(**changes: np.ndarray) -> Callable[[], bytes]:
    groups = EXAMPLE_QUANTIZER.quantize(EXAMPLE_PATTERNS)
    return lambda: EXAMPLE_QUANTIZER.pack(dataclasses.replace(groups, **changes))


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            refused_by_pack(codes=np.full((2, 32), 8, np.uint8)),
            "group 0, codes: expected at most 7",
        ),
        (refused_by_pack(zero=np.array([2, 8], np.uint16)), "group 1, zero: expected at most 7"),
        (
            refused_by_pack(scale=np.array([0x3F39, 0x3F18], np.uint16)),
            "group 0, scale: expected 5 fraction bits",
        ),
        (lambda: EXAMPLE_QUANTIZER.records.packed_nbytes(-1).to_bytes(), "-1 values: expected 0"),
    ],
)
def test_what_fits_no_field_is_not_packed(call: Callable[[], bytes], problem: str) -> None:
    with pytest.raises(LinksimError, match=f"^{problem}"):
        call()
